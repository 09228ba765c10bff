package room

import (
	"fmt"
	"strings"
)

// Rights are what a user may do in a room, one bit each. Bits that this castd does not know are kept.
type Rights uint32

// Rights. Their bits are part of signed links and never change.
const (
	Listen    Rights = 1 << iota // receive the room's media
	Speak                        // send audio from the stage
	Video                        // send video from the stage
	Relay                        // pass media on to others
	Mix                          // mix the room's conference
	Recording                    // record the room
	Moderate                     // mute, eject, ban, lock, appoint
	CallOut                      // dial telephone numbers into the room
)

// All rights that are known.
const All = Listen | Speak | Video | Relay | Mix | Recording | Moderate | CallOut

var rightNames = [...]string{"listen", "speak", "video", "relay", "mix", "record", "moderate", "call-out"}

// Has reports whether all of want are among r.
func (r Rights) Has(want Rights) bool { return r&want == want }

// String lists the rights' names, separated by commas; "none" for no right.
func (r Rights) String() string {
	if r == 0 {
		return "none"
	}
	var names []string
	for i, n := range rightNames {
		if r&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	if rest := r &^ All; rest != 0 {
		names = append(names, fmt.Sprintf("0x%x", uint32(rest)))
	}
	return strings.Join(names, ",")
}

// ParseRights reads names separated by commas, as String writes them.
func ParseRights(s string) (Rights, error) {
	if s == "none" {
		return 0, nil
	}
	var r Rights
next:
	for _, name := range strings.Split(s, ",") {
		name = strings.TrimSpace(name)
		for i, n := range rightNames {
			if strings.EqualFold(name, n) {
				r |= 1 << i
				continue next
			}
		}
		return 0, fmt.Errorf("%q is not a right: use some of %s, separated by commas", name, strings.Join(rightNames[:], ", "))
	}
	return r, nil
}
