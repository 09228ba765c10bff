package treesim

import "github.com/castd/castd/tree"

// extra is what a backup child gets.
func extra(c tree.Child) streams { return 0 }

func below(st *tree.Status) (uint32, uint32) { return uint32(st.Below), uint32(st.FreeBelow) }

func fillPulse(in *tree.Pulse, s *Sim, e *payload) {
	in.Below, in.FreeBelow = int(e.y>>32), int(uint32(e.y))
}

// configure sets what scenarios change of a router's configuration.
func (s *Sim) configure(n int32, c *tree.Config) {}

// candidateMore is the size of what a candidate tells besides.
func candidateMore(c *tree.Candidate) int {
	return number(uint64(c.Slots)) + number(uint64(c.Delay/1e6)) + coordSize + number(uint64(c.Branch))
}

// backupAudio reports whether a peer's backup sends audio.
func backupAudio(p *peer) bool { return p.feeds.Audio }
