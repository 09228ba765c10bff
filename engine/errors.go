package engine

import "errors"

// Errors for control flow.
var (
	ErrNoRoom    = errors.New("no such room")
	ErrAmbiguous = errors.New("several rooms have this name")
	ErrClosed    = errors.New("closed")
	ErrNoInvite  = errors.New("no such invite")
	ErrSpent     = errors.New("invite has been used as often as it may be")
)

// Codes of UserErrors: machine-readable, in `error` events and problem documents.
const (
	CodeNotAllowed    = "not_allowed"     // 403
	CodeNoRoom        = "no_such_room"    // 404
	CodeWrongMode     = "wrong_mode"      // 409
	CodeBadOffer      = "bad_offer"       // 400
	CodeBadMedia      = "bad_media"       // 400
	CodeNoCommonCodec = "no_common_codec" // 406 has no place in WHIP: 400
	CodeFull          = "full"            // 503
	CodeStale         = "stale"           // 412
	CodeTimeout       = "timeout"
	CodeAmbiguous     = "ambiguous"
	CodeReplaced      = "replaced"       // 409
	CodeBadUses       = "bad_uses"       // 400
	CodeNoInvite      = "no_such_invite" // 404
)

// UserError is an error for the person who caused it. Message is one plain sentence that says what to do next; nothing else
// crosses to guests, plugins or other peers.
type UserError struct {
	Code    string
	Message string
}

func (e *UserError) Error() string { return e.Message }

// NewUserError returns a UserError.
func NewUserError(code, message string) *UserError { return &UserError{Code: code, Message: message} }
