package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/node"
	"github.com/castd/castd/engine/wire"
)

// localPeer is a peer in this process.
type localPeer struct {
	node runningNode
	svc  engine.Service
	log  *slog.Logger
}

var _ peer = (*localPeer)(nil)

func (p *localPeer) Token() string { return p.node.Token() }
func (p *localPeer) Remote() bool  { return false }

func (p *localPeer) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	if err := p.node.Close(ctx); err != nil {
		p.log.Warn("not everything ended cleanly", "err", err)
	}
}

func (p *localPeer) Status(context.Context) (engine.Status, error)    { return p.svc.Status(), nil }
func (p *localPeer) Rooms(context.Context) ([]engine.RoomInfo, error) { return p.svc.Rooms(), nil }

func (p *localPeer) AddRoom(ctx context.Context, s engine.RoomSpec) (engine.RoomInfo, error) {
	return p.svc.AddRoom(ctx, s)
}

func (p *localPeer) id(room string) (wire.RoomID, error) {
	m, err := p.svc.Find(room)
	if err != nil {
		var none wire.RoomID
		return none, err
	}
	return m.ID(), nil
}

func (p *localPeer) RoomInfo(_ context.Context, room string) (engine.RoomInfo, error) {
	id, err := p.id(room)
	if err != nil {
		return engine.RoomInfo{}, err
	}
	return p.svc.RoomInfo(id)
}

func (p *localPeer) Tree(_ context.Context, room string) (engine.TreeInfo, error) {
	id, err := p.id(room)
	if err != nil {
		return engine.TreeInfo{}, err
	}
	return p.svc.Tree(id)
}

func (p *localPeer) RoomTree(_ context.Context, room string) ([]engine.TreeInfo, error) {
	id, err := p.id(room)
	if err != nil {
		return nil, err
	}
	return p.svc.RoomTree(id)
}

func (p *localPeer) Invite(_ context.Context, room string, s engine.InviteSpec) (string, error) {
	id, err := p.id(room)
	if err != nil {
		return "", err
	}
	return p.svc.Invite(id, s)
}

// errNoInvites is returned where the peer keeps no list; castd's own does.
var errNoInvites = errors.New("this peer keeps no list of invites")

func (p *localPeer) Invites(_ context.Context, room string) ([]engine.InviteInfo, error) {
	id, err := p.id(room)
	if err != nil {
		return nil, err
	}
	i, ok := p.svc.(engine.Inviter)
	if !ok {
		return nil, errNoInvites
	}
	return i.Invites(id)
}

func (p *localPeer) Revoke(ctx context.Context, room, who string, speakOnly bool) error {
	id, err := p.id(room)
	if err != nil {
		return err
	}
	i, ok := p.svc.(engine.Inviter)
	if !ok {
		return errNoInvites
	}
	return i.Revoke(ctx, id, who, speakOnly)
}

func (p *localPeer) RaiseHand(ctx context.Context, room, name string, up bool) (engine.HandState, error) {
	m, err := p.svc.Find(room)
	if err != nil {
		return engine.HandState{}, err
	}
	r, ok := m.(engine.Raiser)
	if !ok {
		return engine.HandState{}, engine.NewUserError(engine.CodeWrongMode, "nobody raises his hand in this room")
	}
	return r.RaiseHand(ctx, engine.HandConfig{Participant: p.svc.Status().User, Name: name, Self: true}, up)
}

func (p *localPeer) Events(ctx context.Context, stats time.Duration) (<-chan engine.Event, error) {
	return p.svc.Events(ctx, stats), nil
}

func (p *localPeer) Publish(ctx context.Context, room string, file mediaFile, loop bool, progress func(node.Progress)) error {
	m, err := p.svc.Find(room)
	if err != nil {
		return err
	}
	r := &reopening{file: file}
	defer r.Close()
	first, err := r.again()
	if err != nil {
		return err
	}
	o := node.PublishOptions{Source: file.name, Progress: progress}
	if loop {
		o.Next = r.again
	}
	return node.PublishFile(ctx, m, first, o)
}

// reopening is a file that is opened several times, of which one is open at a time. Close ends that: a read that blocks in
// another goroutine then fails.
type reopening struct {
	file mediaFile

	mu     sync.Mutex // guards what follows
	open   io.Closer
	closed bool
}

func (r *reopening) again() (io.Reader, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open != nil {
		r.open.Close()
		r.open = nil
	}
	if r.closed {
		return nil, os.ErrClosed
	}
	f, err := r.file.open()
	if err != nil {
		return nil, err
	}
	r.open = f
	return f, nil
}

func (r *reopening) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.open != nil {
		r.open.Close()
		r.open = nil
	}
}

func (p *localPeer) Record(ctx context.Context, room string, w io.Writer, o node.RecordOptions) error {
	m, err := p.svc.Find(room)
	if err != nil {
		return err
	}
	return node.Record(ctx, m, w, o)
}
