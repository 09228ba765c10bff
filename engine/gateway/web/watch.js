// Watching: keeps a WHEP session to the room, and says in one word and one sentence how that goes.

import { Exchange } from './exchange.js';
import { backoff, sleep } from './api.js';

// Milliseconds without a packet after which nothing is flowing, while something is said to be live, and when not.
const pauseLive = 2500;
const pauseEnded = 1000;

// stereo asks for both channels of Opus, which browsers otherwise mix down.
function stereo(sdp) {
  const opus = /^a=rtpmap:(\d+) opus\//mi.exec(sdp)?.[1];
  if (!opus) return sdp;
  return sdp.replace(new RegExp(`^(a=fmtp:${opus} (?!.*stereo=).*?)(\\r?)$`, 'm'), '$1;stereo=1$2');
}

// Watcher plays a room in a <video>. Changes are told by say(state, text), numbers by measure(text).
export class Watcher {
  constructor({ room, player, say, measure, blocked }) {
    Object.assign(this, { room, player, say, measure, blocked });
    this.on = false; // something of the room is live, as far as is known
    this.away = false; // the peer does not answer requests
    this.seen = false; // something was playing since the page was opened
    this.media = new MediaStream();
    this.player.srcObject = this.media;
    this.refusal = '';
    addEventListener('pagehide', () => this.exchange?.close());
    addEventListener('online', () => this.hurry());
    document.addEventListener('visibilitychange', () => { if (!document.hidden) this.hurry(); });
  }

  // start connects, again and again, until something makes that useless.
  async start() {
    if (this.running) return this.hurry();
    this.running = true;
    this.refusal = '';
    for (let failures = 0; this.running; failures++) {
      const before = performance.now();
      this.lastPacket = 0;
      this.say('connecting', failures === 0 && !this.seen ? 'Connecting' : 'Connection lost, trying again');
      let wait = 0;
      try {
        await this.session();
        if (performance.now() - before > 10000) failures = 0;
      } catch (err) {
        if ([400, 401, 403, 409].includes(err.status)) return this.stop('error', err.message, err);
        wait = err.retryAfter || (err.status === 404 ? 5000 : 0);
        this.say(err.status === 404 ? 'error' : 'connecting', err.status ? err.message : 'This peer does not answer, trying again');
      }
      this.pause = new AbortController();
      await sleep(Math.max(wait, backoff(Math.min(failures, 5))), this.pause.signal);
      if (this.refusal) return this.stop('error', this.refusal);
    }
  }

  stop(state, text, err) {
    this.running = false;
    this.exchange?.close();
    this.say(state, text, err);
  }

  // hurry ends the wait for the next try.
  hurry() { this.pause?.abort(); }

  // refuse takes note that the peer ended a session because this browser cannot play what comes.
  refuse(message) {
    if (this.exchange?.over || performance.now() - (this.lostAt || -1e6) < 5000) this.refusal = message;
    else this.pendingRefusal = { message, at: performance.now() };
  }

  // session is one connection, from offer to end.
  async session() {
    const x = this.exchange = new Exchange('/whep/' + encodeURIComponent(this.room));
    x.pc.addTransceiver('audio', { direction: 'recvonly' });
    x.pc.addTransceiver('video', { direction: 'recvonly' });
    x.pc.addEventListener('track', (e) => {
      for (const old of this.media.getTracks()) {
        if (old.kind === e.track.kind) this.media.removeTrack(old);
      }
      this.media.addTrack(e.track);
      e.track.addEventListener('unmute', () => this.tick(x));
      this.play();
    });
    const lost = new Promise((resolve) => { x.onlost = resolve; });
    x.onconnected = () => this.tick(x);
    const clock = setInterval(() => this.tick(x), 500);
    const late = setTimeout(() => { if (x.pc.connectionState !== 'connected') x.lost(); }, 12000);
    try {
      await x.open(stereo);
      await lost;
      this.lostAt = performance.now();
      if (this.pendingRefusal && performance.now() - this.pendingRefusal.at < 5000) this.refusal = this.pendingRefusal.message;
      this.pendingRefusal = null;
    } finally {
      clearInterval(clock);
      clearTimeout(late);
      x.close();
    }
  }

  // play starts the player, silently if the browser wants a click first.
  async play() {
    try {
      await this.player.play();
    } catch (err) {
      if (err.name !== 'NotAllowedError' || this.player.muted) return;
      this.player.muted = true;
      this.blocked();
      await this.player.play().catch(() => {});
    }
  }

  // tick looks at what has come and says so.
  async tick(x) {
    if (x.over || x.pc.connectionState !== 'connected') return;
    const stats = await x.pc.getStats();
    if (x.over) return;
    const now = performance.now();
    const sum = { packets: 0, bytes: 0, lost: 0, text: [] };
    for (const s of stats.values()) {
      if (s.type !== 'inbound-rtp') continue;
      sum.packets += s.packetsReceived || 0;
      sum.bytes += s.bytesReceived || 0;
      sum.lost += s.packetsLost || 0;
      const codec = stats.get(s.codecId)?.mimeType?.split('/')[1] || '';
      if (s.kind === 'video' && s.frameWidth) sum.text.push(`${codec} ${s.frameWidth}×${s.frameHeight}${s.framesPerSecond ? ` ${Math.round(s.framesPerSecond)}/s` : ''}`);
      if (s.kind === 'audio' && s.packetsReceived) sum.text.push(codec);
    }
    const last = x.last || { packets: 0, bytes: 0, at: now };
    if (sum.packets > last.packets) this.lastPacket = now;
    if (now - last.at > 900 || !x.last) {
      const rate = 8 * (sum.bytes - last.bytes) / Math.max(1, now - last.at);
      if (x.last && sum.packets) this.measure(`${sum.text.join(', ')} · ${Math.round(rate)} kbit/s · ${sum.lost} lost`);
      x.last = { packets: sum.packets, bytes: sum.bytes, at: now };
    }
    if (this.lastPacket && now - this.lastPacket < (this.on ? pauseLive : pauseEnded)) {
      this.seen = true;
      this.say('live', 'Live');
    } else if (this.away && this.seen) {
      x.lost(); // ICE would take longer to notice
    } else if (this.on) {
      this.say('waiting', this.seen ? 'The broadcaster is quiet for a moment' : 'It begins in a moment');
    } else if (this.seen) {
      this.say('ended', 'The broadcast has ended. If it goes on, it goes on here.');
    } else {
      this.say('waiting', 'Waiting for the broadcaster');
    }
  }
}
