package guest

import (
	"github.com/pion/datachannel"
	"github.com/pion/dtls/v3"
	"github.com/pion/sctp"
)

const (
	// maxMessage bounds a message of a guest over a data channel, in octets, and maxChannels how many channels he may make.
	maxMessage  = 16 << 10
	maxChannels = 8
	// channelMTU is the largest SCTP packet, in octets: with DTLS, UDP and IPv6 it fits into 1,280.
	channelMTU = 1160
	// maxUnread bounds what waits of a guest's messages, in octets.
	maxUnread = 128 << 10
)

// hasChannels reports whether the guest may make data channels.
func (l *link) hasChannels() bool { return l.events.channel != nil }

// channels serves data channels (RFC 8831), which the guest makes, until the connection ends.
func (l *link) channels(d *dtls.Conn) {
	log := l.session.service.pionLog
	association, err := sctp.ServerWithOptions(sctp.WithNetConn(d), sctp.WithLoggerFactory(log), sctp.WithMTU(channelMTU),
		sctp.WithMaxReceiveBufferSize(maxUnread), sctp.WithMaxMessageSize(maxMessage), sctp.WithName("guest"))
	if err != nil {
		return
	}
	defer association.Close() //nolint:errcheck // the connection has ended, or is about to
	for range maxChannels {
		channel, err := datachannel.Accept(association, &datachannel.Config{LoggerFactory: log})
		if err != nil {
			return
		}
		l.session.spawn(func() { l.events.channel(channel) })
	}
	// What more he makes is left alone.
	for {
		if _, err := association.AcceptStream(); err != nil {
			return
		}
	}
}
