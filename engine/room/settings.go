package room

// Settings are how a conference welcomes people, as bits of the room's record. What a peer does not know it keeps.
type Settings uint32

// Settings of rooms. None of them is set in a new room.
const (
	// NoTones: no tone is heard when somebody comes or goes.
	NoTones Settings = 1 << iota
	// WaitForHost: who comes while nobody is there who may moderate waits, with music, until somebody is.
	WaitForHost
	// MusicAlone: who is the only one hears music.
	MusicAlone
)

// Has reports whether all settings of o are set.
func (s Settings) Has(o Settings) bool { return s&o == o }

// settingVerbs are the verbs that change settings: what they set, and what they clear.
var settingVerbs = map[string]struct{ set, clear Settings }{
	Tones: {clear: NoTones}, TonesOff: {set: NoTones}, Wait: {set: WaitForHost}, WaitOff: {clear: WaitForHost},
	Music: {set: MusicAlone}, MusicOff: {clear: MusicAlone},
}

// After returns the settings after a verb, and whether it is one that changes settings.
func (s Settings) After(verb string) (Settings, bool) {
	v, ok := settingVerbs[verb]
	return s&^v.clear | v.set, ok
}
