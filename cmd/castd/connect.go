package main

import (
	"context"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/node"
)

// runningNode is what commands need of a *node.Node.
type runningNode interface {
	Service() engine.Service
	Token() string
	Close(ctx context.Context) error
}

var _ runningNode = (*node.Node)(nil)

// startNode runs a peer in this process.
func startNode(ctx context.Context, o node.Options) (runningNode, error) {
	n, err := node.Start(ctx, o)
	if err != nil {
		return nil, err // not n: a nil *node.Node is no nil interface
	}
	return n, nil
}
