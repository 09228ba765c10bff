package sdk

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Capabilities of plugins.
const (
	// CapabilitySink gets media and events of rooms.
	CapabilitySink = "sink"
	// CapabilitySource brings media into rooms.
	CapabilitySource = "source"
	// CapabilityPolicy is asked before somebody watches, sends, takes part or dials.
	CapabilityPolicy = "policy"
	// CapabilityEndpoint calls people outside.
	CapabilityEndpoint = "endpoint"
	// CapabilityCommand adds a command and API paths.
	CapabilityCommand = "command"
)

// Permissions. A plugin has none of them but those that it asks for and the operator grants.
const (
	// PermissionRooms sees rooms: names, titles, streams, participants, events.
	PermissionRooms = "rooms"
	// PermissionAudio and PermissionVideo get the sound and the pictures of rooms.
	PermissionAudio = "audio"
	PermissionVideo = "video"
	// PermissionChat reads what participants of a conference write.
	PermissionChat = "chat"
	// PermissionSend sends media into rooms.
	PermissionSend = "send"
	// PermissionPolicy decides who may join, speak and dial. Nobody is let in while the plugin is down, unless the operator says otherwise.
	PermissionPolicy = "policy"
	// PermissionDial calls people outside, when somebody who may asks for it.
	PermissionDial = "dial"
	// PermissionCommand answers `castd NAME` and requests to /api/v1/plugins/NAME/.
	PermissionCommand = "command"
	// PermissionNotify shows messages to the operator.
	PermissionNotify = "notify"
	// PermissionNetwork makes network connections of the plugin's own.
	PermissionNetwork = "network"
	// PermissionFiles reads files that the user of castd may read. Writing is to the plugin's own folder only.
	PermissionFiles = "files"
)

// Capabilities lists all capabilities, and Permissions all permissions, in the order in which people are shown them.
func Capabilities() []string {
	return []string{CapabilitySink, CapabilitySource, CapabilityPolicy, CapabilityEndpoint, CapabilityCommand}
}

// Permissions lists all permissions.
func Permissions() []string {
	return []string{
		PermissionRooms, PermissionAudio, PermissionVideo, PermissionChat, PermissionSend, PermissionPolicy, PermissionDial, PermissionCommand, PermissionNotify, PermissionNetwork, PermissionFiles,
	}
}

// Description says what a plugin is: what it prints as JSON when it is run with the argument "describe".
type Description struct {
	// Name is one of lower-case letters, digits and "-", at most 32, beginning with a letter. The file is castd-plugin-NAME.
	Name string `json:"name"`
	// Version is three numbers like 1.2.3, with whatever may follow them as in https://semver.org.
	Version string `json:"version"`
	// Summary is a sentence for the operator.
	Summary string `json:"summary,omitempty"`
	// Protocols lists the versions of the protocol that the plugin speaks. Serve fills it in.
	Protocols []int `json:"protocols"`
	// Capabilities are filled in by Serve, from the interfaces that the plugin implements.
	Capabilities []string `json:"capabilities,omitempty"`
	// Permissions are what the plugin asks for.
	Permissions []string `json:"permissions,omitempty"`
	// Config describes the plugin's configuration, by key.
	Config map[string]Setting `json:"config,omitempty"`
	// NoMTLS says that the plugin's language cannot do go-plugin's AutoMTLS. The socket is the user's own in any case.
	NoMTLS bool `json:"no_mtls,omitempty"`
}

// Setting describes a key of a plugin's configuration.
type Setting struct {
	// Type is "string", "number", "bool" or "duration"; a duration is written like 1.5s.
	Type string `json:"type"`
	// Help is a sentence for the operator.
	Help     string `json:"help,omitempty"`
	Default  any    `json:"default,omitempty"`
	Required bool   `json:"required,omitempty"`
	// Secret values are not shown.
	Secret bool `json:"secret,omitempty"`
}

// Limits of a description.
const (
	maxDescription = 64 << 10
	maxSettings    = 64
	maxText        = 400
)

var (
	namePattern    = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	versionPattern = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]{1,64})?$`)
	keyPattern     = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
)

// ValidName reports whether a plugin may have this name.
func ValidName(name string) bool { return namePattern.MatchString(name) }

// ParseDescription reads and checks what a plugin prints. Its errors are for people, and say what the author has to change.
func ParseDescription(text []byte) (*Description, error) {
	if len(text) > maxDescription {
		return nil, fmt.Errorf("its description has more than %d octets", maxDescription)
	}
	var d Description
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, fmt.Errorf("its description is not the JSON that is wanted (%w)", err)
	}
	return &d, d.check()
}

func (d *Description) check() error {
	switch {
	case !ValidName(d.Name):
		return fmt.Errorf("its description has the name %.40q: use lower-case letters, digits and -, at most 32", d.Name)
	case !versionPattern.MatchString(d.Version):
		return fmt.Errorf("its description has the version %.40q: write it like 1.2.3", d.Version)
	case len(d.Protocols) == 0:
		return fmt.Errorf("its description has no protocols: list the versions that it speaks, like [1]")
	case len(d.Summary) > maxText:
		return fmt.Errorf("its description has a summary of more than %d octets", maxText)
	case len(d.Config) > maxSettings:
		return fmt.Errorf("its description has more than %d settings", maxSettings)
	}
	if bad := firstUnknown(d.Capabilities, Capabilities()); bad != "" {
		return fmt.Errorf("it has the capability %.40q, which this castd does not know: there are %s", bad, strings.Join(Capabilities(), ", "))
	}
	if bad := firstUnknown(d.Permissions, Permissions()); bad != "" {
		return fmt.Errorf("it asks for the permission %.40q, which this castd does not know: there are %s", bad, strings.Join(Permissions(), ", "))
	}
	for key, s := range d.Config {
		switch {
		case !keyPattern.MatchString(key):
			return fmt.Errorf("it has the setting %.40q: use lower-case letters, digits and _, at most 64", key)
		case !slices.Contains([]string{"string", "number", "bool", "duration"}, s.Type):
			return fmt.Errorf("its setting %s has the type %.40q: there are string, number, bool and duration", key, s.Type)
		case len(s.Help) > maxText:
			return fmt.Errorf("its setting %s has a help of more than %d octets", key, maxText)
		}
	}
	return nil
}

func firstUnknown(list, known []string) string {
	for _, s := range list {
		if !slices.Contains(known, s) {
			return s
		}
	}
	return ""
}
