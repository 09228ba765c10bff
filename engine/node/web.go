package node

import (
	"context"
)

type web struct{}

func (n *Node) serve() (*web, error)           { return &web{}, nil }
func (w *web) close(ctx context.Context) error { return nil }
