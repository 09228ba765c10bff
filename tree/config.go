package tree

import (
	"errors"
	"fmt"
	"time"
)

// Limits on what others send. Longer lists are cut.
const (
	MaxPath       = 16  // ids in a path, the peer itself included
	MaxCandidates = 16  // in one message
	MaxAddrs      = 8   // of one candidate
	MaxAddrLen    = 256 // octets of an address
	MaxSlots      = 4096
	MaxDelay      = time.Minute // from the origin to a peer
	MaxAge        = time.Hour   // of what is told of a peer
)

// Config sets up a Router. DefaultConfig gives all but Slots and Seed.
type Config struct {
	// Self is this peer. Required.
	Self ID
	// Addrs are the addresses under which this peer can be reached; SetAddrs changes them.
	Addrs [][]byte
	// Slots is how many ordinary children this peer feeds; 0 makes it a leaf. Each costs the programme's bit rate of upload:
	// too many starve all of them, too few make the tree deeper.
	Slots int
	// Reserve is how many orphans it feeds on top of Slots while they look for an ordinary place. Negative: a fifth of Slots
	// and at least one, none for a leaf. A larger reserve survives more failures at once and must be there as upload.
	Reserve int
	// Backups is how many idle children it accepts on top. They cost pulses only, but all of them may want the reserve at
	// once. Negative: five times the reserve.
	Backups int
	// Seed feeds the router's random numbers, together with Self. Same seed, same inputs, same actions.
	Seed uint64

	// PulseSilence is how long the parent may be silent before the backup is asked. Shorter: quicker repair, and on bad
	// wireless links more false alarms, each of which costs a join and its undoing.
	PulseSilence time.Duration
	// BackupSilence is the same for the backup, whose hop carries a pulse a second only.
	BackupSilence time.Duration
	// ChildSilence is how long a child may be silent before it is taken off.
	ChildSilence time.Duration
	// ConfirmTimeout is how long an accepted place is kept for a child that has not confirmed it.
	ConfirmTimeout time.Duration
	// JoinTimeout is how long a candidate may take to answer a probe or a join, and, once more, to open a hop.
	JoinTimeout time.Duration
	// ProbeWindow is how long other answers are awaited after the first. Longer: better places, later media.
	ProbeWindow time.Duration
	// BackoffMin and BackoffMax bound the pause after a search that found nothing; it doubles, +-50 %.
	BackoffMin, BackoffMax time.Duration
	// Settle is how long a peer keeps a new place before it looks for a backup.
	Settle time.Duration
	// Dwell is how long an orphan sits on a reserve before it looks for an ordinary place.
	Dwell time.Duration
	// LookEvery is the mean time between two looks for a better place of a peer that has an ordinary one, +-50 %; it doubles while
	// none is found, up to eight times that. It keeps a place for at least half of it.
	LookEvery time.Duration
	// Heads is how many children the origin feeds once they can feed the others; 0: as many as it has slots.
	Heads int
	// Patience is how long a child waits for its parent to repair before it looks elsewhere itself.
	Patience time.Duration
	// DisplaceTimeout is how long a displaced child is fed on; DisplaceGap the least time between two displacements: shorter
	// builds a flat tree sooner, longer moves fewer peers.
	DisplaceTimeout, DisplaceGap time.Duration
	// DistrustFor is how long a peer that sent forged media is not chosen.
	DistrustFor time.Duration
	// AdvertEvery is the time between adverts of free slots while few advertise; AdvertGap the least, and the mean of all adverts
	// of a large room together. Longer saves traffic at everybody, shorter lets newcomers know of free slots sooner.
	AdvertEvery, AdvertGap time.Duration
	// PathEvery is how often a path is repeated to the children, against lost messages.
	PathEvery time.Duration
	// AudioShare is the part of a slot that audio takes, 0 to 1; SetAudioShare changes it.
	AudioShare float64
	// MaxDepth is the greatest depth of a child, at most MaxPath-1.
	MaxDepth int
}

// DefaultConfig returns the configuration of a leaf.
func DefaultConfig(self ID) Config {
	return Config{
		Self: self, Reserve: -1, Backups: -1,
		PulseSilence: 300 * time.Millisecond, BackupSilence: 4 * time.Second, ChildSilence: 5 * time.Second,
		ConfirmTimeout: 2 * time.Second, JoinTimeout: 1500 * time.Millisecond, ProbeWindow: 50 * time.Millisecond,
		BackoffMin: 50 * time.Millisecond, BackoffMax: 5 * time.Second,
		Settle: time.Second, Dwell: 5 * time.Second, LookEvery: 45 * time.Second, Heads: 2, Patience: 500 * time.Millisecond,
		DisplaceTimeout: 5 * time.Second, DisplaceGap: time.Second, DistrustFor: 10 * time.Minute,
		AdvertEvery: 10 * time.Second, AdvertGap: time.Second, PathEvery: 20 * time.Second,
		AudioShare: 0.05, MaxDepth: MaxPath - 1,
	}
}

// Validate says what is wrong with a configuration.
func (c Config) Validate() error {
	if c.Self == "" {
		return errors.New("tree: Self is empty")
	}
	if c.Slots < 0 || c.Slots > MaxSlots {
		return fmt.Errorf("tree: Slots is %d, not within 0 and %d", c.Slots, MaxSlots)
	}
	if c.Reserve > MaxSlots || c.Backups > 8*MaxSlots {
		return fmt.Errorf("tree: Reserve %d or Backups %d is too large", c.Reserve, c.Backups)
	}
	if c.MaxDepth < 1 || c.MaxDepth > MaxPath-1 {
		return fmt.Errorf("tree: MaxDepth is %d, not within 1 and %d", c.MaxDepth, MaxPath-1)
	}
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"PulseSilence", c.PulseSilence},
		{"BackupSilence", c.BackupSilence},
		{"ChildSilence", c.ChildSilence},
		{"ConfirmTimeout", c.ConfirmTimeout},
		{"JoinTimeout", c.JoinTimeout},
		{"ProbeWindow", c.ProbeWindow},
		{"BackoffMin", c.BackoffMin},
		{"BackoffMax", c.BackoffMax},
		{"Settle", c.Settle},
		{"Dwell", c.Dwell},
		{"LookEvery", c.LookEvery},
		{"Patience", c.Patience},
		{"DisplaceTimeout", c.DisplaceTimeout},
		{"DisplaceGap", c.DisplaceGap},
		{"DistrustFor", c.DistrustFor},
		{"AdvertEvery", c.AdvertEvery},
		{"AdvertGap", c.AdvertGap},
		{"PathEvery", c.PathEvery},
	} {
		if d.d <= 0 {
			return fmt.Errorf("tree: %s is %v, not positive", d.name, d.d)
		}
	}
	if !(c.AudioShare >= 0 && c.AudioShare <= 1) {
		return fmt.Errorf("tree: AudioShare is %v, not within 0 and 1", c.AudioShare)
	}
	if c.BackoffMax < c.BackoffMin {
		return fmt.Errorf("tree: BackoffMax %v is less than BackoffMin %v", c.BackoffMax, c.BackoffMin)
	}
	return nil
}

// reserve returns how many orphans a peer with so many slots feeds on top.
func (c *Config) reserve(slots int) int {
	if c.Reserve >= 0 {
		return c.Reserve
	}
	if slots == 0 {
		return 0
	}
	return max(1, (slots+4)/5)
}

// backups returns how many idle children a peer with so many slots accepts.
func (c *Config) backups(slots int) int {
	if c.Backups >= 0 {
		return c.Backups
	}
	return 5 * c.reserve(slots)
}
