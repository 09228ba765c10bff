// Taking part in a conference: a call that comes back when the connection is lost.

import { Exchange } from './exchange.js';
import { Keeper } from './live.js';

// layers are what is sent of the own camera, the largest first, so that each of the others gets what he wants and can take.
const layers = [
  { rid: 'h', maxBitrate: 1200000 }, // bits per second
  { rid: 'm', maxBitrate: 400000, scaleResolutionDownBy: 2 },
  { rid: 'l', maxBitrate: 120000, scaleResolutionDownBy: 4 },
];

// sections is in how many places others can be seen; nothing is sent for those that are empty.
const sections = () => (matchMedia('(max-width: 40rem)').matches ? 4 : 8);

// prefer offers the codecs that fit, which are those that rooms carry: without the others an offer with many sections stays small.
function prefer(transceiver, fits) {
  const all = globalThis.RTCRtpReceiver?.getCapabilities?.('video')?.codecs || [];
  const codecs = all.filter((c) => fits.test(c.mimeType) && !/packetization-mode=0|profile-id=[13]/.test(c.sdpFmtpLine || ''));
  if (codecs.length > 0) transceiver.setCodecPreferences?.(codecs);
}

// Call sends what a microphone hears, and has an <audio> play what the others say. told(message) gives what the data channel `castd`
// says: of the conference (state), its chat, and to this participant (notice); null where there is no connection. seen(mid, track) gives the
// picture of a section that others are shown in. blocked() tells that the browser wants a click before it plays.
export class Call extends Keeper {
  constructor({ room, source, say, name, player, told, seen, blocked }) {
    super({ source, say, words: { opening: 'Opening the microphone', live: 'You are in the call.', idle: 'You are not in the call.' } });
    Object.assign(this, { room, name, player, told, seen, blocked });
    this.muted = false;
    this.earlier = () => ''; // the session before, of who comes from those who listen
    this.picture = null; // of the own camera
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

  // film sends the picture of a camera, or with null none. Nothing is offered anew for that.
  async film(track) {
    this.picture = track;
    await this.exchange?.camera?.replaceTrack(track);
    this.tell({ type: 'camera', on: Boolean(track) });
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
    if (this.earlier()) query.set('session', this.earlier());
    const x = new Exchange(`/call/${encodeURIComponent(this.room)}?${query}`);
    const { media } = this.source;
    const [track] = media.getAudioTracks();
    x.senders = { audio: x.pc.addTransceiver(track, { direction: 'sendrecv', streams: [media] }).sender };
    const camera = x.pc.addTransceiver('video', { direction: 'sendonly', sendEncodings: layers });
    prefer(camera, /^video\/(vp8|vp9|h264|av1|rtx)$/i);
    for (let n = sections(); n > 0; n--) prefer(x.pc.addTransceiver('video', { direction: 'recvonly' }), /^video\/(vp8|vp9|h264|av1)$/i);
    x.camera = camera.sender;
    await camera.sender.replaceTrack(this.picture);
    x.pc.addEventListener('track', (e) => (e.track.kind === 'audio' ? this.play(e.track) : this.seen(e.transceiver.mid, e.track)));
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
