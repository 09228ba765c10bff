package plugins

import (
	"fmt"

	"github.com/castd/castd/engine"
)

// Codes of the errors for people that this package makes.
const (
	// CodeNoPlugin says that no plugin of the name is installed.
	CodeNoPlugin = "no_such_plugin"
	// CodeBadPlugin says that a plugin cannot be used as it is, CodeBadRequest that what was asked for makes no sense.
	CodeBadPlugin  = "bad_plugin"
	CodeBadRequest = "bad_request"
)

func badPlugin(format string, args ...any) error {
	return engine.NewUserError(CodeBadPlugin, fmt.Sprintf(format, args...))
}

func badRequest(format string, args ...any) error {
	return engine.NewUserError(CodeBadRequest, fmt.Sprintf(format, args...))
}

func noPlugin(name string) error {
	return engine.NewUserError(CodeNoPlugin, fmt.Sprintf("there is no plugin %.40q: castd plugin list shows those that are installed, castd plugin install PATH adds one", name))
}
