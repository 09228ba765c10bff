package secure

import (
	"context"
	"errors"
	"fmt"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"
)

// Contexts runs the handshake of d and returns the SRTP contexts of the two directions; client is this side's role. The replay
// windows of what comes in have the size given, in packets.
func Contexts(ctx context.Context, d *dtls.Conn, client bool, window uint) (out, in *srtp.Context, err error) {
	if err := d.HandshakeContext(ctx); err != nil {
		return nil, nil, fmt.Errorf("DTLS handshake: %w", err)
	}
	p, ok := d.SelectedSRTPProtectionProfile()
	if !ok {
		return nil, nil, errors.New("DTLS handshake: no SRTP profile in common")
	}
	state, ok := d.ConnectionState()
	if !ok {
		return nil, nil, errors.New("DTLS handshake: no keys to export")
	}
	c := srtp.Config{Profile: srtp.ProtectionProfile(p)} // the numbers are those of RFC 5764 in both
	if err := c.ExtractSessionKeysFromDTLS(&state, client); err != nil {
		return nil, nil, fmt.Errorf("export SRTP keys: %w", err)
	}
	out, err = srtp.CreateContext(c.Keys.LocalMasterKey, c.Keys.LocalMasterSalt, c.Profile)
	if err != nil {
		return nil, nil, fmt.Errorf("make SRTP context: %w", err)
	}
	in, err = srtp.CreateContext(c.Keys.RemoteMasterKey, c.Keys.RemoteMasterSalt, c.Profile,
		srtp.SRTPReplayProtection(window), srtp.SRTCPReplayProtection(window))
	if err != nil {
		return nil, nil, fmt.Errorf("make SRTP context: %w", err)
	}
	return out, in, nil
}
