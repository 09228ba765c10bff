// Going live: a WHIP session for one slot that comes back when the connection is lost.

import { Exchange } from './exchange.js';
import { backoff, sleep } from './api.js';

const videoRate = 1500000; // bits per second, what a peer reckons a programme with

// Sender sends what a source (Devices or Screen) opens. Changes are told by say(state, text); state is idle, connecting, live or
// error. slot() and name() are asked at each beginning.
export class Sender {
  constructor({ room, source, say, name, slot }) {
    Object.assign(this, { room, source, say, name, slot });
    // Without a goodbye the peer holds the slot for 30 s, in which a page that was loaded again goes on.
    addEventListener('pagehide', () => {
      this.exchange?.drop();
      this.exchange?.onlost();
    });
  }

  // start goes live and stays so until stop is called or it becomes useless.
  async start() {
    if (this.live) return;
    this.live = true;
    this.taken = null;
    try {
      this.say('connecting', 'Opening what is to be sent');
      if (!this.source.media) await this.source.open();
      this.place = this.slot();
      for (let failures = 0; this.live; failures++) {
        const before = performance.now();
        this.say('connecting', failures ? 'Connection lost, trying again' : 'Connecting');
        let wait = 0;
        try {
          const ended = await this.session();
          if (ended && this.live) {
            await sleep(700); // in which an event may say why
            if (this.taken && performance.now() - this.taken.at < 3000) throw Object.assign(new Error(this.taken.why), { status: 409 });
          }
          if (performance.now() - before > 10000) failures = 0;
        } catch (err) {
          if ([400, 401, 403, 404, 409].includes(err.status)) throw err;
          wait = err.retryAfter || 0;
          if (this.live) this.say('connecting', err.message + ' Trying again.');
        }
        this.pause = new AbortController();
        if (this.live) await sleep(Math.max(wait, backoff(Math.min(failures, 4))), this.pause.signal);
      }
      this.say('idle', 'You are not sending.');
    } catch (err) {
      this.say('error', err.message);
    } finally {
      this.live = false;
      this.source.release();
    }
  }

  stop() {
    this.live = false;
    this.pause?.abort();
    this.exchange?.lost();
    if (!this.exchange) this.source.release();
  }

  // replaced takes note that somebody has taken a slot from another one with the same token. If that was this page, the peer also
  // ends its session.
  replaced(slot, why) {
    if (this.live && (slot || 'main').toLowerCase() === this.place?.toLowerCase()) this.taken = { why, at: performance.now() };
  }

  // wake looks after the connection when the machine has slept or the network has changed.
  wake(sure) {
    this.pause?.abort();
    if (sure) this.exchange?.mend();
    else this.exchange?.check();
  }

  // swap sends another picture and other sound over the same session.
  async swap(media) {
    const senders = this.exchange?.senders || {};
    for (const kind of ['audio', 'video']) {
      const track = media.getTracks().find((t) => t.kind === kind) || null;
      if (senders[kind]) await senders[kind].replaceTrack(track).catch(() => {});
      else if (track && this.exchange) this.exchange.lost(); // it was not offered: offer anew
    }
  }

  // session is one connection, from offer to end. It tells whether the peer has ended it.
  async session() {
    const query = new URLSearchParams({ slot: this.place });
    if (this.name()) query.set('name', this.name());
    const x = this.exchange = new Exchange(`/whip/${encodeURIComponent(this.room)}?${query}`);
    x.senders = {};
    const { media } = this.source;
    for (const track of media.getTracks()) {
      const encoding = track.kind === 'video' ? [{ maxBitrate: videoRate }] : undefined;
      x.senders[track.kind] = x.pc.addTransceiver(track, { direction: 'sendonly', streams: [media], sendEncodings: encoding }).sender;
    }
    const over = new Promise((resolve) => { x.onlost = resolve; });
    x.onconnected = () => { if (this.live) this.say('live', 'You are live.'); };
    x.onshaky = () => this.say('connecting', 'Connection lost, trying to mend it');
    const late = setTimeout(() => { if (x.pc.connectionState !== 'connected') x.lost(); }, 12000);
    try {
      await x.open();
      await over;
      return x.ended;
    } finally {
      clearTimeout(late);
      x.close();
      if (this.exchange === x) this.exchange = null;
    }
  }
}
