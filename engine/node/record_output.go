package node

import (
	"io"
	"time"
)

// recordOutput is the writer of a recording: it tells of the first failure, and syncs now and then. Write and the rest belong to
// the recorder's goroutine.
type recordOutput struct {
	w      io.Writer
	failed func(error)

	told    bool
	synced  time.Time
	syncing chan struct{} // closed when the sync that was begun has ended; nil before the first
	syncErr error         // of it
}

// Write implements io.Writer.
func (o *recordOutput) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	if err != nil {
		o.tell(err)
	}
	return n, err
}

func (o *recordOutput) tell(err error) {
	if o.told {
		return
	}
	o.told = true
	if o.failed != nil {
		o.failed(err)
	}
}

// sync begins to make the file durable when that is due. A slow disk gets one sync at a time, and holds up nothing.
func (o *recordOutput) sync(now time.Time) {
	file, ok := o.w.(interface{ Sync() error })
	if !ok || now.Sub(o.synced) < syncEvery {
		return
	}
	if o.syncing != nil {
		select {
		case <-o.syncing:
			if o.syncErr != nil {
				o.tell(o.syncErr)
			}
		default:
			return
		}
	}
	done := make(chan struct{})
	o.synced, o.syncing = now, done
	go func() {
		o.syncErr = file.Sync()
		close(done)
	}()
}

// waitSync waits for a sync that goes on.
func (o *recordOutput) waitSync() {
	if o.syncing != nil {
		<-o.syncing
	}
}
