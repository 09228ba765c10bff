package store

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
)

const (
	userKeyName   = "user.key"
	deviceKeyName = "device.key"
	certName      = "device.cert"
	tokenName     = "token"
	tokenBits     = 256

	userComment   = "This is who you are in castd. Keep it secret, and keep a copy."
	deviceComment = "This is the key of this machine. Never copy it to another one."
)

var tokenForm = regexp.MustCompile(`^[A-Za-z0-9_~.+/=-]{16,512}$`)

// Identity is who this peer is. It holds secrets, and prints as the participant's id alone.
type Identity struct {
	User        ed25519.PrivateKey
	Device      ed25519.PrivateKey
	Certificate *wire.DeviceCertificate
	Token       string // the administrator's bearer token
}

// String returns the user's participant id.
func (id Identity) String() string {
	if len(id.User) != ed25519.PrivateKeySize {
		return "no identity"
	}
	return "participant " + wire.ParticipantID(public(id.User))
}

// GoString is String, so that no way of printing shows a secret.
func (id Identity) GoString() string { return id.String() }

// Peek reads the identity of a data folder without locking it or changing anything. Where castd has never run it returns an
// error that is fs.ErrNotExist.
func Peek(dir string) (*Identity, error) {
	return readIdentity(dir, readFile)
}

func readIdentity(dir string, read func(string) ([]byte, error)) (*Identity, error) {
	id := &Identity{}
	var err error
	if id.User, err = readKey(filepath.Join(dir, userKeyName), userKeyKind, read,
		"put back a copy, or bring the user over from another machine (castd id export, castd id import); to begin as a new user delete the file"); err != nil {
		return nil, err
	}
	if id.Device, err = readKey(filepath.Join(dir, deviceKeyName), deviceKeyKind, read,
		"put back a copy, or delete the file: this machine then gets a new peer id"); err != nil {
		return nil, err
	}
	// A certificate is not worth an error: who has both keys makes a new one.
	if b, err := read(filepath.Join(dir, certName)); err == nil {
		c := &wire.DeviceCertificate{}
		if proto.Unmarshal(b, c) == nil && wire.VerifyCertificate(c) &&
			bytes.Equal(c.User, public(id.User)) && bytes.Equal(c.Device, public(id.Device)) {
			id.Certificate = c
		}
	}
	path := filepath.Join(dir, tokenName)
	b, err := read(path)
	if err != nil && !missing(err) {
		return nil, err
	}
	if err == nil {
		id.Token = strings.TrimSpace(string(b))
		if !tokenForm.MatchString(id.Token) {
			return nil, &DamagedError{
				Path: path, Reason: "it does not hold a token",
				Remedy: "delete it: castd then makes a new token, and links with the old one end",
			}
		}
	}
	return id, nil
}

func readKey(path, kind string, read func(string) ([]byte, error), remedy string) (ed25519.PrivateKey, error) {
	b, err := read(path)
	if err != nil {
		return nil, err
	}
	key, err := decodeKey(kind, b)
	if err != nil {
		return nil, &DamagedError{Path: path, Reason: err.Error(), Remedy: remedy}
	}
	return key, nil
}

// makeIdentity reads the folder's identity and makes what it lacks.
func (s *Store) makeIdentity() error {
	if err := s.makeKey(userKeyName, userKeyKind, userComment); err != nil {
		return err
	}
	if err := s.makeKey(deviceKeyName, deviceKeyKind, deviceComment); err != nil {
		return err
	}
	id, err := readIdentity(s.dir, readSecret)
	if err != nil {
		return err
	}
	if id.Certificate == nil {
		if id.Certificate, err = s.certify(id.User, id.Device); err != nil {
			return err
		}
	}
	if id.Token == "" {
		var b [tokenBits / 8]byte
		_, _ = rand.Read(b[:]) // never fails
		id.Token = base64.RawURLEncoding.EncodeToString(b[:])
		if err := s.write(filepath.Join(s.dir, tokenName), []byte(id.Token+"\n")); err != nil {
			return err
		}
	}
	s.id = *id
	return nil
}

func (s *Store) makeKey(name, kind, comment string) error {
	path := filepath.Join(s.dir, name)
	if _, err := readSecret(path); !missing(err) {
		return err
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make %s: %w", name, err)
	}
	return s.write(path, encodeKey(kind, comment, key))
}

func (s *Store) certify(user, device ed25519.PrivateKey) (*wire.DeviceCertificate, error) {
	c := wire.NewCertificate(user, public(device), time.Now())
	b, err := proto.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode certificate: %w", err)
	}
	return c, s.write(filepath.Join(s.dir, certName), b)
}

// Identity returns who this peer is.
func (s *Store) Identity() Identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id
}

// Signer returns a signer of envelopes in the name of this device, with Sequence as its sequence.
func (s *Store) Signer() *wire.Signer {
	id := s.Identity()
	return &wire.Signer{Device: id.Device, Certificate: id.Certificate, Sequence: s.Sequence()}
}

// ExportUser writes the user's key as text. Whoever reads it is this user.
func (s *Store) ExportUser(w io.Writer) error {
	_, err := w.Write(encodeKey(userKeyKind, userComment, s.Identity().User))
	if err != nil {
		return fmt.Errorf("export user: %w", err)
	}
	return nil
}

// ImportUser makes the user whose key r holds the user of this peer. The device's key stays and is signed anew. The user that
// was is kept in the folder as user.key.of-PARTICIPANT. Signers made before keep the old user.
func (s *Store) ImportUser(r io.Reader) error {
	b, err := io.ReadAll(io.LimitReader(r, maxKeyFile+1))
	if err != nil {
		return fmt.Errorf("import user: %w", err)
	}
	key, err := decodeKey(userKeyKind, b)
	if err != nil {
		return fmt.Errorf("this is not a user key that castd exported: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if key.Equal(s.id.User) {
		return nil
	}
	old := encodeKey(userKeyKind, "The user of this folder before another was imported.", s.id.User)
	backup := filepath.Join(s.dir, userKeyName+".of-"+wire.ParticipantID(public(s.id.User)))
	if err := s.write(backup, old); err != nil {
		return err
	}
	// The certificate is made again at the next start if the process ends between the two.
	if err := s.write(filepath.Join(s.dir, userKeyName), encodeKey(userKeyKind, userComment, key)); err != nil {
		return err
	}
	c, err := s.certify(key, s.id.Device)
	if err != nil {
		return err
	}
	s.id.User, s.id.Certificate = key, c
	return nil
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }
