package sdk

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParseDescription(t *testing.T) {
	good := `{"name":"who","version":"1.2.3-rc.1","protocols":[1],"capabilities":["sink"],"permissions":["rooms"],"config":{"a_b":{"type":"number"}},"later":{}}`
	if d, err := ParseDescription([]byte(good)); err != nil || d.Name != "who" || d.Config["a_b"].Type != "number" {
		t.Errorf("%+v, %v", d, err)
	}
	for change, want := range map[string]string{
		`"who"`: "name", `"1.2.3-rc.1"`: "version", `[1]`: "protocols", `"sink"`: "capability", `"rooms"`: "permission", `"a_b"`: "setting", `"number"`: "type",
	} {
		bad := `"../Bad name"`
		if change == `[1]` {
			bad = `[]`
		}
		_, err := ParseDescription([]byte(strings.Replace(good, change, bad, 1)))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: %v", change, err)
		}
	}
	if _, err := ParseDescription([]byte(`{"name":"` + strings.Repeat("a", maxDescription) + `"}`)); err == nil {
		t.Error("a description may be of any size")
	}
}

func FuzzParseDescription(f *testing.F) {
	f.Add([]byte(`{"name":"who","version":"1.2.3","protocols":[1],"config":{"a":{"type":"bool","default":true}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := ParseDescription(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseDescription(again); err != nil && len(again) <= maxDescription {
			t.Fatalf("%s: %v", again, err)
		}
	})
}

func FuzzParseAttachment(f *testing.F) {
	f.Add([]byte(`{"socket":"/tmp/castd-attach-1/plugin2","description":{"name":"who","version":"1.2.3","protocols":[1]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := ParseAttachment(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseAttachment(again); err != nil && len(again) <= maxDescription {
			t.Fatalf("%s: %v", again, err)
		}
	})
}
