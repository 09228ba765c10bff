package wire

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
)

// Limits of envelopes.
const (
	// MaxEnvelope bounds an encoded envelope, in octets.
	MaxEnvelope = 16 << 10
	// Leeway is how far the clocks of two peers may differ before one's messages are expired for the other.
	Leeway = 90 * time.Second
)

// Domain strings: a signature made for one purpose never verifies for another.
const (
	envelopeDomain = "castd envelope v1\x00"
	deviceDomain   = "castd device v1\x00"
	// ManifestDomain begins what a manifest's signature covers.
	ManifestDomain = "castd manifest v1\x00"
)

// Errors of OpenEnvelope.
var (
	ErrEnvelope    = errors.New("wire: malformed envelope")
	ErrSignature   = errors.New("wire: signature does not verify")
	ErrExpired     = errors.New("wire: envelope has expired")
	ErrCertificate = errors.New("wire: device certificate does not verify")
)

// Signer makes envelopes in the name of a device. Its fields are constant; Sequence must be safe for concurrent use.
type Signer struct {
	Device      ed25519.PrivateKey
	Certificate *DeviceCertificate
	Sequence    func() uint64 // returns a larger number at each call, also after a restart
}

// Public returns the device's public key.
func (s *Signer) Public() ed25519.PublicKey { return s.Device.Public().(ed25519.PublicKey) }

// User returns the key of the user whom the device acts for.
func (s *Signer) User() ed25519.PublicKey { return s.Certificate.GetUser() }

// Seal signs body as a message of the type about the room (empty for none), valid until expires. It tells whose device the sender's is,
// but for adverts.
func (s *Signer) Seal(room RoomID, typ Type, epoch uint64, expires time.Time, body proto.Message) ([]byte, error) {
	b, err := proto.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("wire: encode %v: %w", typ, err)
	}
	var cert []byte
	if typ != Type_ADVERT { // there is no right to it, and no message is sent to as many
		if cert, err = proto.Marshal(s.Certificate); err != nil {
			return nil, fmt.Errorf("wire: encode certificate: %w", err)
		}
	}
	signed, err := proto.Marshal(&Signed{
		Room: string(room), Type: typ, Device: s.Public(), Certificate: cert, Sequence: s.Sequence(), Epoch: epoch,
		ExpiresMs: expires.UnixMilli(), Body: b,
	})
	if err != nil {
		return nil, fmt.Errorf("wire: encode %v: %w", typ, err)
	}
	env, err := proto.Marshal(&Envelope{Signed: signed, Signature: sign(s.Device, envelopeDomain, signed)})
	if err != nil {
		return nil, fmt.Errorf("wire: encode %v: %w", typ, err)
	}
	if len(env) > MaxEnvelope {
		return nil, fmt.Errorf("wire: %v of %d octets is over the limit of %d", typ, len(env), MaxEnvelope)
	}
	return env, nil
}

// Message is the content of an envelope whose signature, certificate and expiry have been checked. What the sender may do
// is for the receiver to decide.
type Message struct {
	Room     RoomID
	Type     Type
	Device   ed25519.PublicKey
	User     ed25519.PublicKey // nil when the envelope carries no certificate
	Sequence uint64
	Epoch    uint64
	Expires  time.Time
	Body     []byte
}

// OpenEnvelope checks an envelope against the wall clock now and returns its content, which aliases nothing of b.
func OpenEnvelope(b []byte, now time.Time) (*Message, error) {
	env, m, cert, err := readEnvelope(b)
	if err != nil {
		return nil, err
	}
	if now.After(m.Expires.Add(Leeway)) {
		return nil, ErrExpired
	}
	if !verify(m.Device, envelopeDomain, env.Signed, env.Signature) {
		return nil, ErrSignature
	}
	if cert != nil && (!VerifyCertificate(cert) || string(cert.Device) != string(m.Device)) {
		return nil, ErrCertificate
	}
	return m, nil
}

// ReadEnvelope returns the content of an envelope that has been checked before. It verifies nothing.
func ReadEnvelope(b []byte) (*Message, error) {
	_, m, _, err := readEnvelope(b)
	return m, err
}

func readEnvelope(b []byte) (*Envelope, *Message, *DeviceCertificate, error) {
	if len(b) > MaxEnvelope {
		return nil, nil, nil, fmt.Errorf("%w: %d octets", ErrEnvelope, len(b))
	}
	var env Envelope
	if err := proto.Unmarshal(b, &env); err != nil {
		return nil, nil, nil, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	var s Signed
	if err := proto.Unmarshal(env.Signed, &s); err != nil {
		return nil, nil, nil, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	if len(s.Device) != ed25519.PublicKeySize {
		return nil, nil, nil, fmt.Errorf("%w: device key of %d octets", ErrEnvelope, len(s.Device))
	}
	if s.Room != "" && !ValidRoomID(s.Room) {
		return nil, nil, nil, fmt.Errorf("%w: room id", ErrEnvelope)
	}
	m := &Message{
		Room: RoomID(s.Room), Type: s.Type, Device: s.Device, Sequence: s.Sequence, Epoch: s.Epoch,
		Expires: time.UnixMilli(s.ExpiresMs), Body: s.Body,
	}
	if len(s.Certificate) == 0 {
		return &env, m, nil, nil
	}
	var c DeviceCertificate
	if err := proto.Unmarshal(s.Certificate, &c); err != nil {
		return nil, nil, nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	m.User = c.User
	return &env, m, &c, nil
}

// NewCertificate signs a device key with a user key.
func NewCertificate(user ed25519.PrivateKey, device ed25519.PublicKey, issued time.Time) *DeviceCertificate {
	c := &DeviceCertificate{User: user.Public().(ed25519.PublicKey), Device: device, IssuedMs: issued.UnixMilli()}
	c.Signature = sign(user, deviceDomain, certificateBytes(c))
	return c
}

// VerifyCertificate reports whether the user's signature of the device key holds.
func VerifyCertificate(c *DeviceCertificate) bool {
	return len(c.Device) == ed25519.PublicKeySize && verify(c.User, deviceDomain, certificateBytes(c), c.Signature)
}

func certificateBytes(c *DeviceCertificate) []byte {
	b := append(append([]byte{}, c.User...), c.Device...)
	return binary.BigEndian.AppendUint64(b, uint64(c.IssuedMs))
}

func sign(key ed25519.PrivateKey, domain string, b []byte) []byte {
	return ed25519.Sign(key, append([]byte(domain), b...))
}

func verify(key ed25519.PublicKey, domain string, b, signature []byte) bool {
	return len(key) == ed25519.PublicKeySize && len(signature) == ed25519.SignatureSize &&
		ed25519.Verify(key, append([]byte(domain), b...), signature)
}
