package node

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/container"
	"github.com/castd/castd/engine/wire"
)

// UnplayableError says that a file holds what rooms do not carry, and how to convert it. It is an *engine.UserError as well
// (errors.As), with the code bad_media.
type UnplayableError struct {
	Source    string            // name of the file; "" if it has none
	Container string            // for people, where castd does not read it: "MP4"; "" where it does, or where nobody knows it
	Tracks    []container.Track // what is in the file; empty where that is not known
	Unknown   string            // what the file begins with, where it is no media that castd knows
}

// CheckFile reads the beginning of a media file and says whether PublishFile can send it: nil, an *UnplayableError, or another
// error for people. source names the file in errors; "" leaves it out.
func CheckFile(r io.Reader, source string) error {
	file, err := container.Open(r)
	if err != nil {
		return mediaError(source, err)
	}
	if _, err := chooseTracks(file.Tracks()); err != nil {
		return mediaError(source, err)
	}
	return nil
}

func (e *UnplayableError) Error() string {
	name := e.Source
	if name == "" {
		name = "the file"
	}
	var what string
	switch {
	case e.Unknown != "":
		return fmt.Sprintf("%s is no media file that castd knows, it begins with %s: if ffmpeg can read it, convert it with  %s", name, e.Unknown, e.Command())
	case e.Container != "":
		what = "is " + article(e.Container) + " file"
		if len(e.Tracks) > 0 {
			what += " with " + container.Contents(e.Tracks)
		}
		what += ", which castd cannot send as it is"
	default:
		what = "holds " + container.Contents(e.Tracks) + ", and rooms carry Opus of one or two channels, VP8, VP9, AV1 and H264 without B-frames"
	}
	return fmt.Sprintf("%s %s: convert it with  %s", name, what, e.Command())
}

// Unwrap returns the error as one for people.
func (e *UnplayableError) Unwrap() error { return engine.NewUserError(engine.CodeBadMedia, e.Error()) }

// Command returns the command line that makes a file that can be sent, for the shell of this system. Names stand for files that have
// none here.
func (e *UnplayableError) Command() string {
	in, out := "IN", "OUT"
	if e.Source != "" {
		in = e.Source
		out = strings.TrimSuffix(in, filepath.Ext(in))
	}
	options, ending := e.Conversion()
	if out+ending == in {
		out += "-castd"
	}
	words := append(append([]string{"ffmpeg", "-i", plainName(in)}, options...), plainName(out+ending))
	for i, w := range words {
		words[i] = shellQuote(w, runtime.GOOS == "windows")
	}
	return strings.Join(words, " ")
}

// Bit rates of what is converted: what a room's tree is reckoned with.
const (
	convertedVideo = "1500k"
	convertedAudio = "96k"
	convertedWidth = 1280 // pixels, at most
)

// Conversion returns the options of ffmpeg, between input and output, that make what can be sent of the file, and the ending that the
// output's name needs. What rooms carry is copied, the rest is converted.
func (e *UnplayableError) Conversion() (options []string, ending string) {
	var video, audio *container.Track
	for i := range e.Tracks {
		switch t := &e.Tracks[i]; {
		case t.Kind == wire.KindVideo && video == nil:
			video = t
		case t.Kind == wire.KindAudio && audio == nil:
			audio = t
		}
	}
	ending = ".ogg"
	optional := ""
	if video == nil && audio == nil { // nobody knows
		video, audio, optional = &container.Track{}, &container.Track{}, "?"
	}
	if video != nil {
		ending = ".webm"
		options = append(options, "-map", "0:V:0"+optional)
	}
	if audio != nil {
		options = append(options, "-map", "0:a:0"+optional)
	}
	switch {
	case video == nil:
	case e.copies() && carried(video):
		options = append(options, "-c:v", "copy")
		if video.Codec == codec.H264 {
			ending = ".mkv"
		}
	default:
		options = append(options, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "5", "-b:v", convertedVideo, "-g", "60")
		if video.Width > convertedWidth {
			options = append(options, "-vf", fmt.Sprintf("scale=%d:-2", convertedWidth))
		}
	}
	switch {
	case audio == nil:
	case e.copies() && carried(audio):
		options = append(options, "-c:a", "copy")
	default:
		options = append(options, "-c:a", "libopus", "-b:a", convertedAudio)
		if audio.Channels != 1 && audio.Channels != 2 {
			options = append(options, "-ac", "2")
		}
	}
	return options, ending
}

// copies reports whether tracks can be taken out of the container as they are: in others than these, timestamps may be missing, or
// nothing has been read of the order of frames.
func (e *UnplayableError) copies() bool {
	switch e.Container {
	case "MP4", "MOV", "M4A", "3GP":
		return true
	}
	return e.Container == "" && e.Unknown == ""
}

// plainName makes a name that ffmpeg takes for a file whatever is in it: not for an option, nor for a protocol.
func plainName(name string) string {
	before, _, _ := strings.Cut(name, "/")
	if strings.HasPrefix(name, "-") || strings.Contains(before, ":") && !(runtime.GOOS == "windows" && len(name) > 1 && name[1] == ':') {
		return "./" + name
	}
	return name
}

// shellQuote makes one word of s for a shell.
func shellQuote(s string, windows bool) string {
	plain := s != ""
	for _, c := range s {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.ContainsRune("_-+=:,./@", c), windows && c == '\\':
		default:
			plain = false
		}
	}
	switch {
	case plain:
		return s
	case windows:
		return `"` + s + `"` // no name there holds a quotation mark
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func article(name string) string {
	if strings.HasPrefix(name, "MP") || strings.HasPrefix(name, "M4") || strings.ContainsRune("AEIOF", rune(name[0])) && name != "FLAC" {
		return "an " + name
	}
	return "a " + name
}

// mediaError makes an error for people of what a container's reader said.
func mediaError(source string, err error) error {
	var format *container.FormatError
	var foreign *container.ForeignError
	var unplayable *UnplayableError
	var user *engine.UserError
	switch {
	case errors.As(err, &unplayable):
		unplayable.Source = source
		return unplayable
	case errors.As(err, &foreign):
		return &UnplayableError{Source: source, Container: foreign.Container, Tracks: foreign.Tracks, Unknown: foreign.Begins}
	case errors.As(err, &user):
		return err
	}
	message := err.Error()
	if errors.As(err, &format) {
		message = format.Error()
	}
	if source != "" {
		message = source + ": " + message
	}
	return engine.NewUserError(engine.CodeBadMedia, message)
}
