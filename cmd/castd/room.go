package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/node"
	"github.com/castd/castd/engine/room"
)

// roomVerb is a subcommand of room that moderates.
type roomVerb struct {
	verb, args, short, long, example string
	somebody                         bool
	done                             string // with the participant, if there is one
}

// roomVerbs lists them. unmute without a participant is unmute-all.
var roomVerbs = []roomVerb{
	{room.Mute, "ROOM WHO", "Mutes a participant of a conference", "His own peer sends nothing of him any more, and whoever mixes drops what comes all the same. It ends after a day, or as --for says.", "castd room mute talk Bob\n  castd room mute talk 5fda2kq7mmxg3nbe --for 10m", true, "%s is muted\n"},
	{room.Unmute, "ROOM [WHO]", "Lets a participant speak again, or after mute-all everybody", "", "castd room unmute talk Bob\n  castd room unmute talk", true, "%s may speak\n"},
	{room.MuteAll, "ROOM", "Lets only moderators speak, and who is given the microphone", "Owner and moderators go on speaking. `castd room mic` and `castd room unmute` give somebody the word; `castd room unmute ROOM` everybody.", "castd room mute-all talk", false, "only moderators may speak, and who has the microphone\n"},
	{room.Mic, "ROOM WHO", "Passes the microphone to somebody, whose raised hand goes down", "He may speak for ten minutes, or as --for says; who had the microphone before may not any more, where all are muted. Who only listens\nis called up: he takes part when he wants to.", "castd room mic talk Bob --for 2m", true, "%s has the microphone\n"},
	{room.Kick, "ROOM WHO", "Puts somebody out of the room for a minute", "A private room gets another media key. --for puts him out for longer; `castd room ban` for good.", "castd room kick talk Bob", true, "%s is put out\n"},
	{room.Ban, "ROOM WHO", "Puts somebody out of the room for good", "It is `castd invite ROOM --revoke ID` for whoever is there. Who comes by a guest's link is somebody else each time: take back the link as well.", "castd room ban talk Bob", true, "%s is banned\n"},
	{room.Lock, "ROOM", "Lets nobody new into the room", "Who is there stays, and may come back. It ends after a day, or as --for says.", "castd room lock talk", false, "nobody new is let in\n"},
	{room.Unlock, "ROOM", "Lets people in again", "", "castd room unlock talk", false, "the room is open\n"},
	{room.Knock, "ROOM", "Locks the room, and has who comes wait to be let in", "He hears music, and nothing of those inside. `castd room who` shows who waits; `castd room admit` lets him in, `castd room refuse` does not.", "castd room knock talk", false, "who comes waits to be let in\n"},
	{room.Admit, "ROOM WHO", "Lets somebody in who waits", "", "castd room admit talk Bob", true, "%s is let in\n"},
	{room.Refuse, "ROOM WHO", "Does not let somebody in who waits", "He may knock again after a minute, or as --for says.", "castd room refuse talk Bob", true, "%s is refused\n"},
	{room.Grant, "ROOM WHO", "Lets somebody moderate, or gives him the rights named", "Only the owner and his co-hosts can. It ends after 30 days, or as --for says.", "castd room grant talk Bob\n  castd room grant talk Bob --rights speak", true, "%s has the right\n"},
	{room.Revoke, "ROOM WHO", "Takes back what grant gave", "", "castd room revoke talk Bob", true, "%s has the right no longer\n"},
	{room.Dismiss, "ROOM WHO", "Sends somebody from the call back to those who only listen", "What the microphone gave him is taken back. He may raise his hand again, and where not all are muted come back as well.", "castd room dismiss talk Bob", true, "%s only listens\n"},
	{room.Lower, "ROOM WHO", "Takes somebody's raised hand down", "", "castd room lower talk Bob", true, "the hand of %s is down\n"},
}

// roomSetting is a subcommand of room that changes how a conference welcomes people.
type roomSetting struct {
	name, on, off   string // the verbs
	short, long     string
	doneOn, doneOff string
}

var roomSettings = []roomSetting{
	{"tones", room.Tones, room.TonesOff, "Has a tone tell when somebody comes or goes, or not", "All hear it, unless more than eight are there. It is on unless turned off.", "a tone tells who comes and goes\n", "nobody is announced\n"},
	{"wait", room.Wait, room.WaitOff, "Has people wait, with music, while nobody is there who may moderate", "They are let in when the owner, a co-host or a moderator comes. When the last of these has left, the room goes on for a minute.", "people wait for a moderator\n", "nobody waits for a moderator\n"},
	{"music", room.Music, room.MusicOff, "Has who is the only one in the room hear music", "", "who is alone hears music\n", "who is alone hears nothing\n"},
}

// roomSettingCommand makes the subcommand of a setting.
func (a *app) roomSettingCommand(s *roomSetting) *cobra.Command {
	cmd := &cobra.Command{
		Use: s.name + " ROOM on|off", Short: s.short, Long: strings.TrimSpace(s.short + ". " + s.long), Example: "  castd room " + s.name + " talk on",
		Args: exactly(2, "a ROOM, and on or off"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch args[1] {
			case "on":
				return a.moderate(cmd.Context(), args[0], engine.Moderation{Verb: s.on}, s.doneOn)
			case "off":
				return a.moderate(cmd.Context(), args[0], engine.Moderation{Verb: s.off}, s.doneOff)
			}
			return usagef("%q is neither on nor off", args[1])
		},
	}
	a.jsonFlag(cmd.Flags())
	return cmd
}

func (a *app) roomCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "room VERB ROOM [WHO]",
		Short: "Moderates a room of the running peer",
		Long: "Moderates a room of the running peer. WHO is a participant, by the id or the name that `castd room who ROOM` shows. The owner and his\n" +
			"co-hosts may, and who was given the right with `castd room grant`. What is ruled is signed, and every peer of the room obeys it.",
		Example: "  castd room who talk\n  castd room mute talk Bob\n  castd room lock talk\n  castd room title talk \"Tea at five\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
		Args: cobra.ArbitraryArgs,
	}
	for i := range roomVerbs {
		cmd.AddCommand(a.roomVerbCommand(&roomVerbs[i]))
	}
	for i := range roomSettings {
		cmd.AddCommand(a.roomSettingCommand(&roomSettings[i]))
	}
	title := &cobra.Command{
		Use: "title ROOM TITLE", Short: "Gives the room another title", Example: "  castd room title talk \"Tea at five\"", Args: exactly(2, "a ROOM and a TITLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.moderate(cmd.Context(), args[0], engine.Moderation{Verb: room.Title, Title: args[1]}, "the title is changed\n")
		},
	}
	a.jsonFlag(title.Flags())
	cmd.AddCommand(title, a.roomWhoCommand(), a.roomHandsCommand(), a.roomHandCommand(), a.roomAnnounceCommand())
	return cmd
}

// roomAnnounceCommand has a file heard.
func (a *app) roomAnnounceCommand() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "announce ROOM FILE", Short: "Has all hear a file, or one participant",
		Long: "Has all hear a file with Opus, beside those who talk, and those who only listen as well; with --to one participant alone, even while he\n" +
			"waits. Who may moderate can announce something, for two minutes at most. It returns when all is sent.",
		Example: "  castd room announce talk welcome.ogg\n  castd room announce talk please-wait.ogg --to Bob", Args: exactly(2, "a ROOM and a FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := a.mediaFile(args[1])
			if err := file.check(cmd.Context(), false); err != nil {
				var bad *node.UnplayableError
				if errors.As(err, &bad) {
					return engine.NewUserError(engine.CodeBadMedia, err.Error())
				}
				return err
			}
			p, err := a.running(cmd.Context())
			if err != nil {
				return err
			}
			defer p.Close()
			length, err := p.Announce(cmd.Context(), args[0], to, file)
			if err != nil {
				return err
			}
			out := &printer{json: a.json, w: a.out}
			if a.json {
				out.object(struct {
					Ms int64  `json:"ms"`
					To string `json:"to,omitempty"`
				}{length.Milliseconds(), to})
				return nil
			}
			out.text("%v were announced\n", length.Round(time.Second/10))
			return nil
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "have only `WHO` hear it")
	a.jsonFlag(cmd.Flags())
	return cmd
}

// roomVerbCommand makes the subcommand of a verb.
func (a *app) roomVerbCommand(v *roomVerb) *cobra.Command {
	var last span
	var rights string
	cmd := &cobra.Command{Use: v.verb + " " + v.args, Short: v.short, Long: strings.TrimSpace(v.short + ". " + v.long), Example: "  " + v.example}
	switch {
	case v.verb == room.Unmute:
		cmd.Args = between(1, 2, "a ROOM, and who is meant or nobody for everybody")
	case v.somebody:
		cmd.Args = exactly(2, "a ROOM and who is meant")
	default:
		cmd.Args = exactly(1, "a ROOM")
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		m := engine.Moderation{Verb: v.verb, For: last.duration()}
		done := v.done
		switch {
		case len(args) > 1:
			m.Who, done = args[1], fmt.Sprintf(v.done, args[1])
		case v.verb == room.Unmute:
			m.Verb, done = room.UnmuteAll, fmt.Sprintf(v.done, "everybody")
		}
		if rights != "" {
			var err error
			if m.Rights, err = room.ParseRights(rights); err != nil {
				return usagef("--rights: %s", err)
			}
		}
		return a.moderate(cmd.Context(), args[0], m, done)
	}
	f := cmd.Flags()
	switch v.verb {
	case room.Mute, room.MuteAll, room.Mic, room.Kick, room.Lock, room.Knock, room.Refuse, room.Grant:
		f.Var(&last, "for", "end it after this time, like 10m")
		f.Lookup("for").DefValue = ""
	}
	if v.verb == room.Grant || v.verb == room.Revoke {
		f.StringVar(&rights, "rights", "", "these `RIGHTS` instead of moderate, separated by commas: speak, video, relay, mix, record, moderate, call-out")
	}
	a.jsonFlag(f)
	return cmd
}

// moderate has the running peer do it, and tells so.
func (a *app) moderate(ctx context.Context, name string, m engine.Moderation, done string) error {
	if err := engine.CheckModeration(m); err != nil {
		return usagef("%s", err)
	}
	p, err := a.running(ctx)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := p.Moderate(ctx, name, m); err != nil {
		return err
	}
	out := &printer{json: a.json, w: a.out}
	if a.json {
		out.object(struct {
			Verb        string `json:"verb"`
			Participant string `json:"participant,omitempty"`
		}{m.Verb, m.Who})
		return nil
	}
	out.text("%s", done)
	return nil
}

// roomWhoCommand lists who takes part.
func (a *app) roomWhoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "who ROOM", Short: "Lists who takes part or waits, and whose hand is up", Example: "  castd room who talk\n  castd room who talk --json", Args: exactly(1, "a ROOM"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.running(cmd.Context())
			if err != nil {
				return err
			}
			defer p.Close()
			info, err := p.RoomInfo(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			out := &printer{json: a.json, w: a.out}
			t := table{head: []string{"PARTICIPANT", "NAME", "ROLES", "STATE", ">HAND"}}
			for _, who := range info.Participants {
				hand := 0
				for i, h := range info.Hands {
					if h == who.Participant {
						hand = i + 1
					}
				}
				if a.json {
					out.object(struct {
						engine.ParticipantInfo
						Hand int `json:"hand,omitempty"` // place in the queue, from 1
					}{who, hand})
					continue
				}
				state, place := "", ""
				switch {
				case who.Called:
					state = "called"
				case who.Audience:
					state = "listens"
				case who.Waiting:
					state = "waits"
				case who.Muted:
					state = "muted"
				}
				if hand > 0 {
					place = fmt.Sprint(hand)
				}
				t.row(who.Participant, who.Name, strings.Join(who.Roles, ","), state, place)
			}
			switch {
			case a.json:
			case len(info.Participants) == 0:
				out.text("Nobody takes part.\n")
			default:
				out.text("%s", t.String())
			}
			return nil
		},
	}
	a.jsonFlag(cmd.Flags())
	return cmd
}

// roomHandsCommand lists the queue of raised hands.
func (a *app) roomHandsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "hands ROOM", Short: "Lists whose hand is up, who waits longest first", Example: "  castd room hands talk", Args: exactly(1, "a ROOM"),
		Long: "Lists whose hand is up, of those who take part and of those who only listen, who waits longest first. `castd room mic ROOM WHO` gives\n" +
			"somebody the word, and calls up who only listens; `castd room lower ROOM WHO` takes his hand down.",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.running(cmd.Context())
			if err != nil {
				return err
			}
			defer p.Close()
			info, err := p.RoomInfo(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			out := &printer{json: a.json, w: a.out}
			t := table{head: []string{">HAND", "PARTICIPANT", "NAME", "WHERE"}}
			for i, id := range info.Hands {
				who := engine.ParticipantInfo{Participant: id}
				for _, p := range info.Participants {
					if p.Participant == id {
						who = p
					}
				}
				if a.json {
					out.object(struct {
						engine.ParticipantInfo
						Hand int `json:"hand"` // place in the queue, from 1
					}{who, i + 1})
					continue
				}
				where := "takes part"
				if who.Audience {
					where = "listens"
				}
				t.row(fmt.Sprint(i+1), id, who.Name, where)
			}
			switch {
			case a.json:
			case len(info.Hands) == 0:
				out.text("No hand is up.\n")
			default:
				out.text("%s", t.String())
			}
			return nil
		},
	}
	a.jsonFlag(cmd.Flags())
	return cmd
}

// roomHandCommand raises the user's own hand.
func (a *app) roomHandCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "hand ROOM up|down", Short: "Raises your hand while you only listen, or takes it down", Example: "  castd room hand talk up --name Ann",
		Long: "Raises your hand in a conference to which you only listen by the running peer, or takes it down. Moderators see it in their queue;\n" +
			"who was called opens the page and joins the call.",
		Args: exactly(2, "a ROOM, and up or down"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[1] != "up" && args[1] != "down" {
				return usagef("%q is neither up nor down", args[1])
			}
			p, err := a.running(cmd.Context())
			if err != nil {
				return err
			}
			defer p.Close()
			state, err := p.RaiseHand(cmd.Context(), args[0], name, args[1] == "up")
			if err != nil {
				return err
			}
			out := &printer{json: a.json, w: a.out}
			switch {
			case a.json:
				out.object(state)
			case !state.Raised:
				out.text("your hand is down\n")
			case state.Place > 0:
				out.text("your hand is up, number %d\n", state.Place)
			default:
				out.text("your hand is up\n")
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "what you want to be called there")
	a.jsonFlag(cmd.Flags())
	return cmd
}
