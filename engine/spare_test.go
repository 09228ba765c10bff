package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
)

type computer struct {
	idle    int
	battery bool
}

func (c computer) Spare() (int, bool) { return c.idle, c.battery }

// Of the owner's devices the one becomes the hub whose computer can spare it, although the others have as many slots.
func TestHeirCanSpareIt(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			net := enginetest.NewNetwork(80 + seed)
			net.Delay = 15 * time.Millisecond
			net.Machine = func(name string) engine.Machine {
				switch {
				case strings.HasPrefix(name, "ann/phone"):
					return computer{idle: 900, battery: true}
				case strings.HasPrefix(name, "ann/old"):
					return computer{idle: 50}
				}
				return computer{idle: 900}
			}
			s := newStage(t, net, 3)
			s.second(fmt.Sprint("ann/phone", seed))
			s.second(fmt.Sprint("ann/old", seed))
			_, heir := s.second(fmt.Sprint("ann/server", seed))
			time.Sleep(40 * time.Second) // what is idle is measured over a quarter of a minute, and told every few seconds
			net.Kill(s.origin)
			time.Sleep(5 * time.Second)
			if path := heir.Tree().Path; len(path) != 1 {
				t.Errorf("seed %d: the path of the one that can spare it is %v", seed, path)
			}
		})
	}
}
