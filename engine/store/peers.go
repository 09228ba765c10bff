package store

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Bounds of peers.json.
const (
	// MaxPeers is how many peers are kept: half of them those seen last, and of the others those that were seen longest without a
	// break. They are the supernodes that a restart finds again without a server.
	MaxPeers  = 200
	maxAddrs  = 16
	maxAddr   = 512 // characters
	peersName = "peers.json"
)

// Peer is a peer that this one was connected to.
type Peer struct {
	ID       string        `json:"peer"`  // libp2p peer id
	Addrs    []string      `json:"addrs"` // multiaddrs, at most 16
	LastSeen time.Time     `json:"last_seen"`
	Uptime   time.Duration `json:"uptime_ns,omitempty"` // the longest that it was seen without a break
}

type peersFile struct {
	Version int    `json:"version"`
	Peers   []Peer `json:"peers"`
}

func decodePeers(data []byte) ([]Peer, error) {
	var f peersFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	return checkList(f.Version, f.Peers, MaxPeers, "peers", checkPeer)
}

func checkPeer(p *Peer) error {
	if _, err := peer.Decode(p.ID); err != nil {
		return errors.New("a peer has no valid id")
	}
	if len(p.Addrs) > maxAddrs || p.Uptime < 0 {
		return fmt.Errorf("too much is kept of peer %s", p.ID)
	}
	for _, a := range p.Addrs {
		if len(a) > maxAddr {
			return fmt.Errorf("an address of peer %s is too long", p.ID)
		}
	}
	return nil
}

func (s *Store) loadPeers() error {
	s.peers = make(map[string]Peer)
	path := filepath.Join(s.dir, peersName)
	b, err := readSecret(path)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	peers, err := decodePeers(b)
	if err != nil {
		return &DamagedError{Path: path, Reason: err.Error(), Remedy: "delete it: castd then meets its peers anew"}
	}
	for _, p := range peers {
		s.peers[p.ID] = p
	}
	return nil
}

// Peers returns the saved peers, those seen last first.
func (s *Store) Peers() []Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sortedPeersLocked()
}

// PutPeers keeps peers, in the place of what was kept of them; the longest uptime stays. It writes once for all.
func (s *Store) PutPeers(peers ...Peer) error {
	for i := range peers {
		if err := checkPeer(&peers[i]); err != nil {
			return fmt.Errorf("keep peer: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	for _, p := range peers {
		p.LastSeen = p.LastSeen.UTC().Round(0)
		p.Addrs = slices.Clone(p.Addrs)
		p.Uptime = max(p.Uptime, s.peers[p.ID].Uptime)
		s.peers[p.ID] = p
	}
	s.forgetPeersLocked()
	b, err := json.MarshalIndent(peersFile{Version: 1, Peers: s.sortedPeersLocked()}, "", " ")
	if err != nil {
		return fmt.Errorf("encode peers: %w", err)
	}
	return s.write(filepath.Join(s.dir, peersName), append(b, '\n'))
}

// forgetPeersLocked keeps no more than MaxPeers.
func (s *Store) forgetPeersLocked() {
	all := s.sortedPeersLocked()
	if len(all) <= MaxPeers {
		return
	}
	rest := all[MaxPeers/2:]
	slices.SortStableFunc(rest, func(a, b Peer) int { return cmp.Compare(b.Uptime, a.Uptime) })
	for _, p := range rest[MaxPeers-MaxPeers/2:] {
		delete(s.peers, p.ID)
	}
}

func (s *Store) sortedPeersLocked() []Peer {
	all := make([]Peer, 0, len(s.peers))
	for _, p := range s.peers {
		p.Addrs = slices.Clone(p.Addrs)
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b Peer) int {
		return cmp.Or(b.LastSeen.Compare(a.LastSeen), cmp.Compare(a.ID, b.ID))
	})
	return all
}
