package gossip

import (
	"net"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Scores of gossipsub v1.1, section "Peer Scoring". The only thing that counts much is P4, messages that did not validate:
// invalidWeight times their number squared, so that two stop gossip to a peer and the third puts it on the grey list.
// P3 and P3b are off: topics with a message or less a second make good peers look idle. P1 and P2 only order peers
// of which none misbehaves. All weights are guesses but for that arithmetic.
const (
	invalidWeight = -10
	gossipScore   = -20 // below: no gossip with the peer
	publishScore  = -40 // below: nothing published is sent to the peer
	graylistScore = -80 // below: everything from the peer is ignored
	forgive       = time.Hour
)

func scoreThresholds() *pubsub.PeerScoreThresholds {
	return &pubsub.PeerScoreThresholds{
		GossipThreshold: gossipScore, PublishThreshold: publishScore, GraylistThreshold: graylistScore,
		AcceptPXThreshold: 100, OpportunisticGraftThreshold: 1,
	}
}

func scoreParams() *pubsub.PeerScoreParams {
	return &pubsub.PeerScoreParams{
		Topics:           map[string]*pubsub.TopicScoreParams{},
		TopicScoreCap:    10,
		AppSpecificScore: func(peer.ID) float64 { return 0 },
		// P6: more than 10 peers at one address are suspect, unless the address is one that many share.
		IPColocationFactorWeight: -1, IPColocationFactorThreshold: 10, IPColocationFactorWhitelist: sharedNetworks(),
		// P7: regrafting within the backoff, and not sending what was promised.
		BehaviourPenaltyWeight: -10, BehaviourPenaltyThreshold: 6, BehaviourPenaltyDecay: pubsub.ScoreParameterDecay(10 * time.Minute),
		DecayInterval: time.Second, DecayToZero: pubsub.DefaultDecayToZero, RetainScore: 10 * time.Minute,
	}
}

func topicScoreParams() *pubsub.TopicScoreParams {
	return &pubsub.TopicScoreParams{
		TopicWeight:      1,
		TimeInMeshWeight: 0.01, TimeInMeshQuantum: time.Second, TimeInMeshCap: 100,
		FirstMessageDeliveriesWeight: 0.1, FirstMessageDeliveriesDecay: pubsub.ScoreParameterDecay(time.Minute), FirstMessageDeliveriesCap: 20,
		InvalidMessageDeliveriesWeight: invalidWeight, InvalidMessageDeliveriesDecay: pubsub.ScoreParameterDecay(forgive),
	}
}

// sharedNetworks are the networks of loopback, local networks and carrier-grade NATs.
func sharedNetworks() []*net.IPNet {
	var nets []*net.IPNet
	for _, s := range []string{
		"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10",
		"::1/128", "fc00::/7", "fe80::/10",
	} {
		_, n, err := net.ParseCIDR(s)
		if err != nil {
			panic("gossip: internal error: " + err.Error())
		}
		nets = append(nets, n)
	}
	return nets
}
