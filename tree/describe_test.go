package tree

import (
	"fmt"
	"strings"
)

// describe prints an action in one line, for traces.
func describe(a Action, nonce func(uint64) string) string {
	switch a := a.(type) {
	case Send:
		return fmt.Sprintf("send %s %s", a.To, describeMsg(a.Msg, nonce))
	case OpenHop:
		return fmt.Sprintf("open %s", a.To)
	case CloseHop:
		return fmt.Sprintf("close %s", a.To)
	case SetFeeds:
		return fmt.Sprintf("feeds %s backup %s", dash(a.Primary), dash(a.Backup))
	case SetChildren:
		var b strings.Builder
		for _, c := range a.Children {
			fmt.Fprintf(&b, " %s:%s:%d", c.Peer, c.Kind, c.Depth)
		}
		return "children" + b.String()
	case Advertise:
		return fmt.Sprintf("advertise free=%d path=%s", a.Candidate.Free, pathString(a.Path))
	case Notify:
		return fmt.Sprintf("notify %T%+v", a.Event, a.Event)
	}
	return "?"
}

func describeMsg(m Message, nonce func(uint64) string) string {
	switch m := m.(type) {
	case *MsgProbe:
		more := ""
		if m.Below > 0 {
			more = fmt.Sprintf(" below=%d", m.Below)
		}
		return fmt.Sprintf("probe %s slots=%d%s", nonce(m.Nonce), m.Slots, more)
	case *MsgProbeReply:
		more := ""
		if m.Spare != m.Free { // else nobody has a copy
			more += fmt.Sprintf(" spare=%d", m.Spare)
		}
		if m.Crowded {
			more += " crowded"
		}
		return fmt.Sprintf("reply %s free=%d reserve=%d path=%s%s%s", nonce(m.Nonce), m.Free, m.Reserve, pathString(m.Path), candString(m.Candidates), more)
	case *MsgJoin:
		more := ""
		if m.Below > 0 {
			more += fmt.Sprintf(" below=%d", m.Below)
		}
		if len(m.Accused) > 0 {
			more += " accused=" + pathString(m.Accused)
		}
		return fmt.Sprintf("join %s %s slots=%d avoid=%s%s", nonce(m.Nonce), m.Kind, m.Slots, pathString(m.Avoid), more)
	case *MsgAccept:
		return fmt.Sprintf("accept %s %s path=%s seq=%d%s", nonce(m.Nonce), m.Kind, pathString(m.Path), m.PathSeq, candString(m.Candidates))
	case *MsgRefuse:
		return fmt.Sprintf("refuse %s %s%s", nonce(m.Nonce), m.Reason, candString(m.Candidates))
	case *MsgConfirm:
		return fmt.Sprintf("confirm %s", nonce(m.Nonce))
	case *MsgLeave:
		return fmt.Sprintf("leave %s%s", m.Reason, candString(m.Candidates))
	case *MsgPath:
		return fmt.Sprintf("path %s seq=%d%s", pathString(m.Path), m.PathSeq, candString(m.Candidates))
	}
	return "?"
}

func dash(id ID) string {
	if id == "" {
		return "-"
	}
	return string(id)
}

func pathString(p []ID) string {
	if len(p) == 0 {
		return "-"
	}
	var s []string
	for _, id := range p {
		s = append(s, string(id))
	}
	return strings.Join(s, "/")
}

func candString(list []Candidate) string {
	var b strings.Builder
	for _, c := range list {
		fmt.Fprintf(&b, " %s:%d:%d", c.Peer, c.Depth, c.Free)
	}
	return b.String()
}
