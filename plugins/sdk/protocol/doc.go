// Package protocol is what castd and a plugin say to each other: plugin.proto, the code that is generated from it, and the quick way of
// its media. Authors of plugins in Go use package sdk; in other languages they generate their own code from plugin.proto.
package protocol

// Version is the version of the protocol. A plugin of another one is refused.
const Version = 1

// The magic cookie of go-plugin: who starts a plugin by hand does not have it, and is told that it is one.
const (
	CookieKey   = "CASTD_PLUGIN_COOKIE"
	CookieValue = "castd.plugin"
)

// What castd tells a plugin by its environment.
const (
	// EnvHostSocket is the path of the Unix socket at which castd serves Host to this plugin, and to nobody else.
	EnvHostSocket = "CASTD_HOST_SOCKET"
	// EnvHostToken is what the metadata TokenKey of each call to Host must hold.
	EnvHostToken = "CASTD_HOST_TOKEN"
	// EnvParent is the process id of castd. A plugin ends when that is no longer its parent.
	EnvParent = "CASTD_PARENT"
)

// TokenKey is the metadata with the token in calls to Host.
const TokenKey = "castd-token"

// HostSocketKey is the metadata with the path of Host's socket, beside the token, in the call of Configure to a plugin that castd has not
// started but attached to.
const HostSocketKey = "castd-host-socket"

// Window is how many ToPlugin messages castd sends ahead of the newest that was acknowledged.
const Window = 25

// MaxMessage bounds a message in either direction, in octets.
const MaxMessage = 16 << 20
