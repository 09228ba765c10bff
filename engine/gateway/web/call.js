// Taking part in a conference: a call that comes back when the connection is lost.

import { Exchange } from './exchange.js';
import { Keeper } from './live.js';

// Call sends what a microphone hears, and has an <audio> play what the others say. told(message) gives what the data channel `castd`
// says: of the conference (state), its chat, and to this participant (notice); null where there is no connection. blocked() tells that the browser wants a click before it plays.
export class Call extends Keeper {
  constructor({ room, source, say, name, player, told, blocked }) {
    super({ source, say, words: { opening: 'Opening the microphone', live: 'You are in the call.', idle: 'You are not in the call.' } });
    Object.assign(this, { room, name, player, told, blocked });
    this.muted = false;
    this.wishes = new Map(); // by participant: how loud he is wanted, 1 for as he is
    addEventListener('pagehide', () => this.exchange?.lost());
  }

  begin() { this.mute(this.muted); }

  // mute has the others hear nothing, and the connection go on.
  mute(on) {
    this.muted = on;
    for (const t of this.source.media?.getAudioTracks() || []) t.enabled = !on;
  }

  async swap(media) {
    this.mute(this.muted);
    await super.swap(media);
  }

  // wish tells how loud a participant is wanted.
  wish(participant, gain) {
    this.wishes.set(participant, gain);
    this.tell({ type: 'wish', participant, gain });
  }

  tell(message) {
    const channel = this.exchange?.channel;
    if (channel?.readyState === 'open') channel.send(JSON.stringify(message));
  }

  // session is one connection, from offer to end.
  async session() {
    const query = new URLSearchParams();
    if (this.name()) query.set('name', this.name());
    const x = new Exchange(`/call/${encodeURIComponent(this.room)}?${query}`);
    const { media } = this.source;
    const [track] = media.getAudioTracks();
    x.senders = { audio: x.pc.addTransceiver(track, { direction: 'sendrecv', streams: [media] }).sender };
    x.pc.addEventListener('track', (e) => this.play(e.track));
    x.channel = x.pc.createDataChannel('castd');
    x.channel.addEventListener('open', () => { for (const [participant, gain] of this.wishes) this.tell({ type: 'wish', participant, gain }); });
    x.channel.addEventListener('message', (e) => {
      const message = JSON.parse(e.data);
      if (['state', 'chat', 'notice'].includes(message.type) && this.exchange === x) this.told(message);
    });
    try {
      await this.keep(x);
    } finally {
      this.told(null);
    }
  }

  async play(track) {
    this.player.srcObject = new MediaStream([track]);
    await this.player.play().catch((err) => { if (err.name === 'NotAllowedError') this.blocked(); });
  }
}
