// Package uplink decides what this peer can bear. It is pure: measurements and time come in, decisions go out.
//
// A Controller watches for signs that a peer carries more than it can: queues that drop, children that lose alike, a process that
// gets to run too late. It then takes fewer children than it was told it could, sheds layers of what it sends, and takes both back
// slowly. It never makes a peer give up its own place: when Skype's supernodes left to save themselves, in 2010, those that remained
// got their load, and left as well.
package uplink
