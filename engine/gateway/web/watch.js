// Watching: keeps a WHEP session to the room, and says in one word and one sentence how that goes.

import { Exchange } from './exchange.js';
import { backoff, sleep } from './api.js';

// Milliseconds without a packet after which nothing is flowing, while something is said to be live, and when not.
const pauseLive = 2500;
const pauseEnded = 1000;
// Milliseconds in which packets of a picture come and none can be shown, after which another session may do better.
const frozenFor = 8000;

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
    this.on = false; // what is wanted is live, as far as is known
    this.away = false; // the peer does not answer requests
    this.conference = false; // what is heard is a mix, in which there are pauses
    this.seen = false; // something was playing since the page was opened
    this.want = null; // { slot, participant, label } that was chosen; null: the slot that has been live longest
    this.media = new MediaStream();
    this.player.srcObject = this.media;
    this.refusal = '';
    this.earlier = () => ''; // the session before, of who comes from the call
    addEventListener('pagehide', () => {
      this.retire();
      this.exchange?.lost();
    });
  }

  // start connects, again and again, until something makes that useless.
  async start() {
    if (this.running) return this.hurry();
    const turn = this.running = {}; // what tells one start from the next
    this.refusal = '';
    for (let failures = 0; ; failures++) {
      const before = performance.now();
      this.lastPacket = 0;
      if (!this.old) this.say('connecting', failures === 0 && !this.seen ? 'Connecting' : 'Connection lost, trying again');
      let wait = 0;
      try {
        await this.watch();
        if (this.running !== turn) return;
        if (this.switching) {
          this.switching = false;
          failures = -1;
          continue;
        }
        if (performance.now() - before > 10000) failures = 0;
      } catch (err) {
        if (this.running !== turn) return;
        this.retire();
        if ([400, 401, 403, 409].includes(err.status)) return this.stop('error', err.message, err);
        wait = err.retryAfter || (err.status === 404 ? 5000 : 0);
        this.say(err.status === 404 ? 'error' : 'connecting', err.status ? err.message : err.message + ' Trying again.');
      }
      this.retire();
      if (this.refusal) return this.stop('error', this.refusal);
      this.pause = new AbortController();
      await sleep(Math.max(wait, backoff(Math.min(failures, 5))), this.pause.signal);
      if (this.running !== turn) return;
      if (this.refusal) return this.stop('error', this.refusal);
    }
  }

  stop(state, text, err) {
    this.running = null;
    this.exchange?.lost();
    this.retire();
    this.say(state, text, err);
  }

  // hurry ends the wait for the next try.
  hurry() { this.pause?.abort(); }

  // wake looks after the connection when the machine has slept or the network has changed.
  wake(sure) {
    this.hurry();
    if (sure) this.exchange?.mend();
    else this.exchange?.check();
    if (!document.hidden && this.player.paused && this.media.active) this.play();
  }

  // show plays another slot; the old one goes on until there is something of the new one.
  show(want) {
    this.want = want;
    this.refusal = '';
    if (!this.running) return this.start();
    this.retire();
    if (this.exchange && !this.exchange.over) {
      this.old = this.exchange;
      this.switching = true;
      this.moved();
    }
    this.hurry();
  }

  retire() {
    this.old?.close();
    this.old = null;
  }

  // refuse takes note that the peer ended a session because this browser cannot play what comes.
  refuse(message) {
    if (this.exchange?.over || performance.now() - (this.lostAt || -1e6) < 5000) this.refusal = message;
    else this.pendingRefusal = { message, at: performance.now() };
  }

  // session is the address of the present session, '' where there is none.
  get session() { return (!this.exchange?.over && this.exchange?.location) || ''; }

  address() {
    const query = new URLSearchParams();
    if (this.earlier()) query.set('session', this.earlier());
    if (this.want?.slot) query.set('slot', this.want.slot);
    if (this.want?.participant) query.set('participant', this.want.participant);
    const text = query.toString();
    return '/whep/' + encodeURIComponent(this.room) + (text && '?' + text);
  }

  // watch is one connection, from offer to end, or until another slot is wanted.
  async watch() {
    const x = this.exchange = new Exchange(this.address());
    x.pc.addTransceiver('audio', { direction: 'recvonly' });
    x.pc.addTransceiver('video', { direction: 'recvonly' });
    x.pc.addEventListener('track', (e) => {
      // What was shown before stays until there is something new.
      const put = () => { if (this.exchange === x) this.put(e.track); };
      e.track.addEventListener('unmute', () => {
        put();
        this.tick(x);
      });
      if (!this.media.getTracks().some((t) => t.kind === e.track.kind)) put();
    });
    const over = new Promise((resolve) => {
      x.onlost = resolve;
      this.moved = resolve;
    });
    x.onconnected = () => this.tick(x);
    x.onshaky = () => { if (this.exchange === x) this.say('connecting', 'Connection lost, trying again'); };
    const clock = setInterval(() => this.tick(x), 500);
    const retire = setTimeout(() => this.retire(), 3000);
    const late = setTimeout(() => { if (x.pc.connectionState !== 'connected') x.lost(); }, 12000);
    try {
      await x.open(stereo);
      await over;
      this.lostAt = performance.now();
      if (this.pendingRefusal && performance.now() - this.pendingRefusal.at < 5000) this.refusal = this.pendingRefusal.message;
      this.pendingRefusal = null;
    } finally {
      clearInterval(clock);
      clearTimeout(late);
      clearTimeout(retire);
      if (this.old !== x) x.close();
    }
  }

  // put has a track played in place of the one of its kind.
  put(track) {
    const tracks = this.media.getTracks();
    if (!tracks.includes(track)) {
      for (const old of tracks) if (old.kind === track.kind) this.media.removeTrack(old);
      this.media.addTrack(track);
    }
    if (!track.muted) this.retire();
    this.play();
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
    if (x.over || x.mending || x !== this.exchange || x.pc.connectionState !== 'connected') return;
    const stats = await x.pc.getStats();
    if (x.over || x.mending || x !== this.exchange) return;
    const now = performance.now();
    const sum = { packets: 0, bytes: 0, lost: 0, picture: 0, frames: 0, text: [] };
    for (const s of stats.values()) {
      if (s.type !== 'inbound-rtp') continue;
      sum.packets += s.packetsReceived || 0;
      sum.bytes += s.bytesReceived || 0;
      sum.lost += s.packetsLost || 0;
      const codec = stats.get(s.codecId)?.mimeType?.split('/')[1] || '';
      if (s.kind === 'video') {
        sum.picture += s.packetsReceived || 0;
        sum.frames += s.framesDecoded || 0;
        if (s.frameWidth) sum.text.push(`${codec} ${s.frameWidth}×${s.frameHeight}${s.framesPerSecond ? ` ${Math.round(s.framesPerSecond)}/s` : ''}`);
      }
      if (s.kind === 'audio' && s.packetsReceived) sum.text.push(codec);
    }
    const last = x.last || { packets: 0, bytes: 0, at: now };
    if (sum.packets > last.packets) this.lastPacket = now;
    if (now - last.at > 900 || !x.last) {
      const rate = 8 * (sum.bytes - last.bytes) / Math.max(1, now - last.at);
      if (x.last && sum.packets) this.measure(`${sum.text.join(', ')} · ${Math.round(rate)} kbit/s · ${sum.lost} lost`);
      x.last = { packets: sum.packets, bytes: sum.bytes, at: now };
    }
    this.judge(x, this.lastPacket && now - this.lastPacket < (this.on ? pauseLive : pauseEnded), this.frozen(x, sum, now));
  }

  // frozen reports whether packets of the picture come from which nothing can be shown.
  frozen(x, sum, now) {
    const f = x.frames ||= { frames: sum.frames, picture: sum.picture, at: now };
    if (sum.frames !== f.frames || sum.picture === f.picture || document.hidden) {
      Object.assign(f, { frames: sum.frames, picture: sum.picture, at: now });
      return false;
    }
    return now - f.at > frozenFor;
  }

  judge(x, flowing, frozen) {
    const whose = this.want?.label || 'the broadcaster';
    const Whose = this.want?.label || 'The broadcaster';
    if (flowing && frozen) {
      this.say('connecting', 'The picture has stopped, trying again');
      x.lost();
    } else if (flowing) {
      this.seen = true;
      this.say('live', 'Live');
    } else if (this.away && this.seen) {
      this.say('connecting', 'This peer does not answer, trying again');
      x.mend(); // ICE would take longer to notice
    } else if (this.conference) {
      this.say('waiting', 'Nobody is talking at the moment');
    } else if (this.on) {
      this.say('waiting', this.seen ? `${Whose} is quiet for a moment` : 'It begins in a moment');
    } else if (this.seen && !this.want) {
      this.say('ended', 'The broadcast has ended. If it goes on, it goes on here.');
    } else {
      this.say('waiting', 'Waiting for ' + whose);
    }
  }
}
