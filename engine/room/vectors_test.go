package room

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew; only for a new version of the formats")

// vectors freeze what is signed and passed on: a chain of four links by users 1 to 4 to user 5, an invite link, a record.
type vectors struct {
	Room         wire.RoomID `json:"room"`
	Chain        string      `json:"chain"`
	SignedByLast string      `json:"signed_by_last"` // octets that the last link's signature covers
	Link         string      `json:"link"`
	Record       string      `json:"record"`
}

func TestFrozenVectors(t *testing.T) {
	path := filepath.Join("testdata", "vectors.json")
	c := longChain(t)
	chain, err := proto.MarshalOptions{Deterministic: true}.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	made := vectors{
		Room: testRoom, Chain: hex.EncodeToString(chain), SignedByLast: hex.EncodeToString(linkBytes(testRoom, c.Links[2], c.Links[3])),
		Link: testLink(t).String(), Record: hex.EncodeToString(mustRecord(t, 1, testSpec()).Envelope),
	}
	if *update {
		b, err := json.MarshalIndent(made, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var frozen vectors
	if err := json.Unmarshal(b, &frozen); err != nil {
		t.Fatal(err)
	}
	if frozen.Room != made.Room || frozen.Chain != made.Chain || frozen.SignedByLast != made.SignedByLast || frozen.Link != made.Link {
		t.Errorf("the formats have changed:\nfrozen %+v\nnow    %+v", frozen, made)
	}
	raw, err := hex.DecodeString(frozen.Chain)
	if err != nil {
		t.Fatal(err)
	}
	var read wire.Chain
	if err := proto.Unmarshal(raw, &read); err != nil {
		t.Fatal(err)
	}
	if got, err := VerifyChain(&read, testRoom, public(1), public(5), testTime, 5); err != nil || got != Speak {
		t.Errorf("the frozen chain gives %v, %v", got, err)
	}
	l, err := ParseLink(frozen.Link)
	if err != nil {
		t.Fatal(err)
	}
	if inv, err := l.Invite(); err != nil || !bytes.Equal(inv.Seed, testSeed[:]) {
		t.Errorf("the frozen link's invite: %v", err)
	}
	if raw, err = hex.DecodeString(frozen.Record); err != nil {
		t.Fatal(err)
	}
	if r, err := VerifyRecord(raw, testTime); err != nil || r.ID != testRoom {
		t.Errorf("the frozen record: %+v, %v", r, err)
	}
}
