package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/plugins"
)

// Exit codes.
const (
	exitDone     = 0
	exitFailed   = 1
	exitUsage    = 2
	exitNotFound = 3
)

// usageError says that castd was used wrongly. Its text names the right use.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

func usagef(format string, args ...any) error {
	return &usageError{msg: fmt.Sprintf(format, args...)}
}

// notFoundError says that there is no such thing, or that nobody answered in time.
type notFoundError struct{ msg string }

func (e *notFoundError) Error() string { return e.msg }

func notFoundf(format string, args ...any) error {
	return &notFoundError{msg: fmt.Sprintf(format, args...)}
}

// exitCode returns the exit code that belongs to what a command returned.
func exitCode(err error) int {
	var usage *usageError
	var missing *notFoundError
	var user *engine.UserError
	var said *exitError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &said):
		return said.code
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &missing):
		return exitNotFound
	case errors.As(err, &user):
		switch user.Code {
		case engine.CodeAmbiguous, plugins.CodeBadRequest:
			return exitUsage
		case plugins.CodeNoPlugin:
			return exitNotFound
		case engine.CodeNoRoom, engine.CodeNoParticipant, engine.CodeTimeout:
			return exitNotFound
		}
		return exitFailed
	case errors.Is(err, engine.ErrAmbiguous):
		return exitUsage
	case errors.Is(err, engine.ErrNoRoom), errors.Is(err, context.DeadlineExceeded):
		return exitNotFound
	}
	return exitFailed
}

// sentence makes one line of an error, without the layers that only programmers want.
func sentence(err error) string {
	if user, ok := errors.AsType[*engine.UserError](err); ok {
		err = user
	}
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
