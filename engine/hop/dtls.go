package hop

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"

	"github.com/pion/dtls/v3"

	"github.com/castd/castd/engine/secure"
)

// replayWindow is as large as a relay's ring of packets, so that nothing a parent may still send is taken for a replay.
const replayWindow = 8192

// dtlsConfig accepts exactly the peer whose certificate has the fingerprint.
func (t *Transport) dtlsConfig(fingerprint [sha256.Size]byte) *dtls.Config {
	return &dtls.Config{
		Certificates:            []tls.Certificate{t.cert.TLS},
		CipherSuites:            []dtls.CipherSuiteID{dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		SRTPProtectionProfiles:  []dtls.SRTPProtectionProfile{dtls.SRTP_AEAD_AES_128_GCM},
		ExtendedMasterSecret:    dtls.RequireExtendedMasterSecret,
		ClientAuth:              dtls.RequireAnyClientCert,
		FlightInterval:          t.timings.retransmit,
		InsecureSkipVerifyHello: true, // ICE has proved the address: the cookie's round trip would prove it again
		InsecureSkipVerify:      true, // self-signed: checked here instead
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			if len(raw) == 0 {
				return secure.ErrWrongCertificate
			}
			sum := sha256.Sum256(raw[0])
			if subtle.ConstantTimeCompare(sum[:], fingerprint[:]) != 1 {
				return secure.ErrWrongCertificate
			}
			return nil
		},
		LoggerFactory: pionLog{t.log},
	}
}
