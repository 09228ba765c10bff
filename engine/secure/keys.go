package secure

import (
	"context"
	"errors"
	"fmt"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"
)

// Keys encrypt what goes out and open what comes in.
type Keys struct {
	Out, In *srtp.Context
	Sealer  *Sealer // of the keys of Out; nil where the profile is not AEAD_AES_128_GCM
}

// Handshake runs the handshake of d and returns the keys of the two directions; client is this side's role. The replay windows
// of what comes in have the size given, in packets.
func Handshake(ctx context.Context, d *dtls.Conn, client bool, window uint) (*Keys, error) {
	if err := d.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("DTLS handshake: %w", err)
	}
	p, ok := d.SelectedSRTPProtectionProfile()
	if !ok {
		return nil, errors.New("DTLS handshake: no SRTP profile in common")
	}
	state, ok := d.ConnectionState()
	if !ok {
		return nil, errors.New("DTLS handshake: no keys to export")
	}
	c := srtp.Config{Profile: srtp.ProtectionProfile(p)} // the numbers are those of RFC 5764 in both
	if err := c.ExtractSessionKeysFromDTLS(&state, client); err != nil {
		return nil, fmt.Errorf("export SRTP keys: %w", err)
	}
	k := &Keys{}
	var err error
	k.Out, err = srtp.CreateContext(c.Keys.LocalMasterKey, c.Keys.LocalMasterSalt, c.Profile)
	if err != nil {
		return nil, fmt.Errorf("make SRTP context: %w", err)
	}
	k.In, err = srtp.CreateContext(c.Keys.RemoteMasterKey, c.Keys.RemoteMasterSalt, c.Profile,
		srtp.SRTPReplayProtection(window), srtp.SRTCPReplayProtection(window))
	if err != nil {
		return nil, fmt.Errorf("make SRTP context: %w", err)
	}
	if c.Profile == srtp.ProtectionProfileAeadAes128Gcm {
		if k.Sealer, err = newSealer(c.Keys.LocalMasterKey, c.Keys.LocalMasterSalt); err != nil {
			return nil, err
		}
	}
	return k, nil
}
