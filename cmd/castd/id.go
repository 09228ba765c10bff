package main

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/castd/castd/engine/store"
	"github.com/castd/castd/engine/wire"
)

func (a *app) idCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "id",
		Short: "Shows who this user and this peer are; moves the user to another machine",
		Long: "Shows the participant id of this user, who owns rooms and rights, his public key, by which others name him a co-host, and the id\n" +
			"of this peer, which is this machine's. The first call on a data folder makes them.",
		Example: "  castd id --json\n  castd id export me.key\n  castd id import me.key",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error { return a.showID() },
	}
	a.jsonFlag(cmd.Flags())
	cmd.AddCommand(&cobra.Command{
		Use:   "export [FILE]",
		Short: "Writes this user's key, by which another machine becomes his too",
		Long: "Writes this user's key to a new file, or to standard output. Whoever has it is this user: keep it secret, and keep a copy of it\n" +
			"in a safe place.",
		Example: "  castd id export me.key",
		Args:    between(0, 1, "a FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := exportUser(a.dataDir)
			if err != nil {
				return err
			}
			if len(args) == 0 || args[0] == "-" {
				_, err = a.out.Write(text)
				return err
			}
			return writeSecret(args[0], text)
		},
	}, &cobra.Command{
		Use:   "import FILE",
		Short: "Makes the user whose key the file holds the user of this machine",
		Long: "Makes the user whose key the file holds the user of this machine; - reads standard input. The user that was is kept in the data\n" +
			"folder. No castd may be running on it.",
		Example: "  castd id import me.key",
		Args:    exactly(1, "a FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			file := a.mediaFile(args[0])
			r, err := file.open()
			if err != nil {
				return err
			}
			defer r.Close()
			s, err := store.Open(a.dataDir)
			if err != nil {
				return err
			}
			defer s.Close()
			return s.ImportUser(r)
		},
	})
	return cmd
}

func (a *app) showID() error {
	id, err := identity(a.dataDir)
	if err != nil {
		return err
	}
	device, err := wire.PeerID(id.Device.Public().(ed25519.PublicKey))
	if err != nil {
		return fmt.Errorf("name peer: %w", err)
	}
	user := wire.ParticipantID(id.User.Public().(ed25519.PublicKey))
	key := wire.UserKeyText(id.User.Public().(ed25519.PublicKey))
	out := &printer{json: a.json, w: a.out}
	if a.json {
		out.object(struct {
			User string `json:"user"`
			Key  string `json:"public_key"`
			Peer string `json:"peer"`
			Dir  string `json:"data_dir"`
		}{user, key, device.String(), a.dataDir})
		return nil
	}
	out.text("user        %s\npublic key  %s\npeer        %s\n", user, key, device)
	return nil
}

// identity reads the data folder's identity, and makes one where there is none.
func identity(dir string) (*store.Identity, error) {
	id, err := store.Peek(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	s, err := store.Open(dir)
	if err != nil {
		return nil, err
	}
	made := s.Identity()
	return &made, s.Close()
}

// exportUser returns the user's key as text, also while the folder's peer is running.
func exportUser(dir string) ([]byte, error) {
	if _, err := identity(dir); err != nil {
		return nil, err
	}
	s, err := store.Open(dir)
	var running *store.LockedError
	if errors.As(err, &running) {
		// The folder holds the key in the form of an export.
		return os.ReadFile(filepath.Join(dir, "user.key"))
	}
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = errors.Join(s.ExportUser(&text), s.Close())
	return text.Bytes(), err
}

// writeSecret writes a new file that only its owner can read.
func writeSecret(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already: name a new file", path)
	}
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", filepath.Base(path), err)
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("%s cannot be written: %w", path, err)
	}
	return nil
}
