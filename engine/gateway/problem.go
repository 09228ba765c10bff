package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/castd/castd/engine"
)

// Codes of problems that engine's UserErrors have no code for.
const (
	codeUnauthorized = "unauthorized"
	codeNotFound     = "not_found"
	codeMethod       = "method_not_allowed"
	codeTooLarge     = "too_large"
	codeType         = "unsupported_type"
	codeNoCondition  = "if_match_missing"
	codeTooMany      = "too_many_requests"
	codeBadRequest   = "bad_request"
	codeInternal     = "internal"
	codeClosing      = "closing"
)

// problem is an answer that is an error, as RFC 9457 writes it. Detail is one sentence for a person.
type problem struct {
	// Type says that the title is the status's (RFC 9457 section 4.2.1); Code tells problems apart.
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   string `json:"code"`

	retryAfter int // seconds; 0: none
}

func (p *problem) Error() string { return p.Detail }

func newProblem(status int, code, detail string) *problem {
	return &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Code: code}
}

// after makes a problem say when to try again.
func (p *problem) after(seconds int) *problem {
	p.retryAfter = seconds
	return p
}

// statusOf maps the codes of engine.UserError.
func statusOf(code string) int {
	switch code {
	case engine.CodeNotAllowed, engine.CodeInviteNeeded, engine.CodeInviteWrong, engine.CodeInviteExpired, engine.CodeInviteEarly,
		engine.CodeInviteSpent, engine.CodeRevoked, engine.CodePutOut, engine.CodeLocked, engine.CodeHost, engine.CodeDismissed:
		return http.StatusForbidden
	case engine.CodeNoRoom, engine.CodeNoInvite, engine.CodeNoParticipant:
		return http.StatusNotFound
	case engine.CodeWrongMode, engine.CodeAmbiguous, engine.CodeRecorded, engine.CodeNotRecorded, engine.CodeReplaced:
		return http.StatusConflict
	case engine.CodeFull:
		return http.StatusServiceUnavailable
	case engine.CodeDisk:
		return http.StatusInsufficientStorage
	case engine.CodeTooMany:
		return http.StatusTooManyRequests
	case engine.CodeStale:
		return http.StatusPreconditionFailed
	case engine.CodeTimeout, engine.CodeIssuerAway:
		return http.StatusGatewayTimeout
	}
	return http.StatusBadRequest // what the caller sent does not fit
}

// fullRetry is after how many seconds it may be worth trying a full peer again.
const fullRetry = 10

// problemOf makes a problem of any error. Only what is for people crosses to the caller.
func problemOf(err error) *problem {
	var p *problem
	var user *engine.UserError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &user):
		status := statusOf(user.Code)
		p = newProblem(status, user.Code, sentence(user.Message))
		if status == http.StatusServiceUnavailable {
			p.retryAfter = fullRetry
		}
		return p
	case errors.Is(err, engine.ErrNoRoom):
		return newProblem(http.StatusNotFound, engine.CodeNoRoom, "This peer is in no room of that name or id; check the name, or add the room first.")
	case errors.Is(err, engine.ErrAmbiguous):
		return newProblem(http.StatusConflict, engine.CodeAmbiguous, "This peer is in several rooms of that name; use the room's id.")
	case errors.As(err, &tooLarge):
		return newProblem(http.StatusRequestEntityTooLarge, codeTooLarge, "The body is too large; send at most "+strconv.FormatInt(tooLarge.Limit, 10)+" octets.")
	case errors.Is(err, engine.ErrClosed):
		return newProblem(http.StatusServiceUnavailable, codeClosing, "This peer is about to end; try another peer of the room.").after(fullRetry)
	case errors.Is(err, context.DeadlineExceeded):
		return newProblem(http.StatusGatewayTimeout, engine.CodeTimeout, "This took too long; try again.")
	case errors.Is(err, context.Canceled):
		return newProblem(http.StatusServiceUnavailable, codeClosing, "The request was given up.")
	}
	return newProblem(http.StatusInternalServerError, codeInternal, "Something went wrong inside this peer; its log says what.")
}

// WriteProblem answers with a problem document, for handlers that the gateway passes requests on to. code may be empty.
func WriteProblem(w http.ResponseWriter, status int, code, message string) {
	if code == "" {
		code = codeInternal
		if status < http.StatusInternalServerError {
			code = codeBadRequest
		}
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if status == http.StatusServiceUnavailable {
		h.Set("Retry-After", strconv.Itoa(fullRetry))
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(newProblem(status, code, sentence(message))) // whoever has gone by now does not want it
}

// sentence makes a whole sentence of what the command line shows after "castd: ".
func sentence(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return "Something is wrong."
	}
	// What begins with a command or flag stays as it is typed.
	if unicode.IsLower(first) && !strings.HasPrefix(s, "castd ") {
		s = string(unicode.ToUpper(first)) + s[size:]
	}
	if last := s[len(s)-1]; last != '.' && last != '?' && last != '!' {
		s += "."
	}
	return s
}

// fail answers with err as a problem document.
func (g *Gateway) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if p.Status == http.StatusInternalServerError {
		g.log.Error("request failed", "route", r.Pattern, "err", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if p.Status == http.StatusUnauthorized {
		challenge := `Bearer realm="castd"`
		if r.Header.Get("Authorization") != "" {
			challenge += `, error="invalid_token"`
		}
		h.Set("WWW-Authenticate", challenge)
	}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_ = json.NewEncoder(w).Encode(p) // whoever has gone by now does not want it
	}
}
