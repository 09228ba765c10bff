// Package treesim simulates rooms of thousands of peers, one real tree.Router each, and measures whether everybody stays served.
//
// Run takes a Config and returns a Result. Virtual time, one goroutine, and all that is random from the seed: the same Config
// gives the same events, whose SHA-256 is Result.Trace. Several runs may go on side by side; they share nothing.
//
// # What is simulated
//
// The caller's part of package tree, as the engine plays it: messages, hops, pulses, adverts, and the sight of peers that
// die. Peers live in cities, by inhabitants, behind access networks of 6 ms (median, one way); fibre is half as long again as
// the straight line; the way between 15 % of all pairs is longer than that, so that they violate the triangle inequality. Hops
// between peers behind address translators can be had for 70 % of the pairs. Messages are streams: what is lost comes later. A
// hop takes 4.5 one-way times to open, and what the Calibration says of computing.
//
// Uploads are drawn so that the ordinary slots of all, over their number, come to the resource index. What a peer believes of its
// upload is wrong by 0.3 to 3 times. One that feeds more children than its uplink carries sends them the video without its
// discardable layer; beyond 1.3 times of what it carries the newest get no video at all. After 3 s it knows, and tells its
// router its true slots (tree.SetSlots).
//
// Of what happens all the time only changes are events. A router that looks for nobody only notes adverts: it is given them, each with
// the time at which it came, before the next input that it has. A pulse is delivered when it says something new; of a healthy hop the
// router is told once that it will stay so (tree.Alive), until it does not. A peer without media hears its parents' pulses
// every half second, as their age means something then. What the pulses, manifests and gossip that are left out weigh is
// added to the traffic by the second.
//
// # Media
//
// Media is a flow: a stream comes from a peer or does not, and only a change of that is an event, which goes down the tree
// with the delay of packets. A gap is from the last packet before it to the first new one after it: a parent that is further
// from the origin than the one before sends what is known for a while. The burst of a new parent fills the gap, so that
// nothing is lost; what comes more than 300 ms late counts as not delivered. Two peers that feed each other while nobody feeds
// them get nothing.
//
// Gaps are told apart by their cause: faults and crashes, goodbyes, and moves from one parent to another. The quantiles of gaps after
// crashes count everybody who got media through the one that crashed, also those who missed nothing, once for each crash.
//
// # Invariants
//
// No peer feeds more children than slots and reserve, or more of them after its slots have become fewer; no loop of parents is
// older than a second; a place means a path that matches the parents within 2 s; whoever asks has a place 5 s later, where the
// resource index is 1.15 or more. Result.Broken tells which did not hold.
//
// # Calibration
//
// What belongs to real processes comes from calibration.json, which is built in: times in milliseconds as p50, p95 and p99.
//
//	machine, date, command  where, when and with what they were measured
//	detect_kill_ms   death of a process until a peer has seen the end of its TCP connection to it
//	detect_stop_ms   last packet of a stopped process until its child acts on the silence, on a quiet wired link
//	resume_ms        a backup hears the request to feed until the first packet leaves it
//	hop_setup_ms     what both ends compute while a hop is opened, round trips left out
//	hop_forward_ms   a packet's arrival at a relay until it leaves
//
// # Not simulated
//
// Routers of the network and their queues, bit rates other than as slots, and the content of media. What several origins of a
// room agree on is not package tree's, and so in the scenario of a crash of the origin its own process comes back. Octets of
// addresses and signatures are taken as constants.
package treesim
