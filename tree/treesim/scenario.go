package treesim

import "slices"

// Scenario is something that may befall a room.
type Scenario struct {
	Name, What string
	// Index is the resource index: ordinary slots of all over their number.
	Index float64

	fault func(s *Sim)
}

// DefaultIndex is the resource index of scenarios that do not say otherwise.
const DefaultIndex = 1.3

var scenarios = []Scenario{
	{Name: "steady", What: "nothing but people who come and go"},
	{Name: "kill", What: "1,000 peers that feed others are killed, one after another", fault: (*Sim).planKills},
	{Name: "supernodes30", What: "30 % of those who feed most are killed at once", fault: (*Sim).planSupernodes},
	{Name: "restart50", What: "half of the room is killed at once and comes back within a minute", fault: (*Sim).planRestart},
	{Name: "flash", What: "half as many again come within a minute", fault: (*Sim).planFlash},
	{Name: "partition", What: "the network is split in halves for 30 s", fault: (*Sim).planPartition},
	{Name: "grey", What: "relays go on to pulse and feed no more", fault: (*Sim).planGrey},
	{Name: "slow", What: "relays become slow: everything from them takes 400 ms more", fault: (*Sim).planSlow},
	{Name: "stop", What: "relays are stopped: silence, and no connection that breaks", fault: (*Sim).planStops},
	{Name: "polluter", What: "one in a hundred claims much, feeds nobody, and comes and goes", fault: (*Sim).planPolluters},
	{Name: "natrebind", What: "a tenth of the hops of peers behind NAT go silent for 300 ms", fault: (*Sim).planRebind},
	{Name: "clockskew", What: "peers' clocks go 1 % fast or slow, and a tenth of them stop for a second", fault: (*Sim).planSkew},
	{Name: "origincrash", What: "the origin's process is killed and started again 3 s later", fault: (*Sim).planOrigin},
	{Name: "wifi", What: "wireless links fall silent for up to 400 ms, again and again", fault: (*Sim).planWiFi},
	{Name: "low", What: "the upload is not enough for all", Index: 0.9},
	{Name: "rich", What: "there is upload in plenty", Index: 5},
}

// Scenarios lists them.
func Scenarios() []Scenario {
	out := slices.Clone(scenarios)
	for i := range out {
		if out[i].Index == 0 {
			out[i].Index = DefaultIndex
		}
	}
	return out
}

func scenario(name string) (Scenario, bool) {
	all := Scenarios()
	i := slices.IndexFunc(all, func(s Scenario) bool { return s.Name == name })
	if i < 0 {
		return Scenario{}, false
	}
	return all[i], true
}
