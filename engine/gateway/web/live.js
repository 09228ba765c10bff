// Sessions that come back when the connection is lost, and going live: a WHIP session for one slot.

import { Exchange } from './exchange.js';
import { backoff, sleep } from './api.js';

const videoRate = 1500000; // bits per second, what a peer reckons a programme with

// Keeper keeps one session after the other for what a source (Devices or Screen) opens. Changes are told by say(state, text); state is
// idle, connecting, live or error. words are what it says of the source, and when nothing is kept.
export class Keeper {
  constructor({ source, say, words }) {
    Object.assign(this, { source, say, words });
    this.live = null; // what tells one start from the next; null when stopped
  }

  // begin is called once by each start, when the source is open.
  begin() {}

  // over takes note of why the peer may have ended a session: somebody else has taken its slot, or was put out.
  over(slot, why) {
    this.reason = { why, at: performance.now() };
  }

  // start begins, and keeps on until stop is called or it becomes useless.
  async start() {
    if (this.live) return;
    const turn = this.live = {};
    const on = () => this.live === turn;
    try {
      this.say('connecting', this.words.opening);
      if (!this.source.media) await this.source.open();
      this.reason = null;
      if (on()) this.begin();
      for (let failures = 0; on(); failures++) {
        const before = performance.now();
        this.say('connecting', failures ? 'Connection lost, trying again' : 'Connecting');
        let wait = 0;
        try {
          await this.session();
          if (performance.now() - before > 10000) failures = 0;
        } catch (err) {
          if ([400, 401, 403, 404, 409].includes(err.status)) throw err;
          wait = err.retryAfter || 0;
          if (on()) this.say('connecting', err.message + ' Trying again.');
        }
        if (!on()) break;
        this.pause = new AbortController();
        await sleep(Math.max(wait, backoff(Math.min(failures, 4))), this.pause.signal);
      }
      if (!this.live) this.say(this.why ? 'error' : 'idle', this.why || this.words.idle);
    } catch (err) {
      if (!this.live || on()) this.say('error', err.message);
    } finally {
      if (!this.live || on()) {
        this.live = null;
        this.source.release();
      }
    }
  }

  // stop ends it; why is what there is to say where that was not the person's wish.
  stop(why = '') {
    this.live = null;
    this.why = why;
    this.pause?.abort();
    this.exchange?.lost();
    if (!this.exchange) this.source.release();
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

  // keep opens an exchange, and returns when it is over.
  async keep(x) {
    this.exchange = x;
    const over = new Promise((resolve) => { x.onlost = resolve; });
    x.onconnected = () => { if (this.live) this.say('live', this.words.live); };
    x.onshaky = () => this.say('connecting', 'Connection lost, trying to mend it');
    const late = setTimeout(() => { if (x.pc.connectionState !== 'connected') x.lost(); }, 12000);
    try {
      await x.open();
      await over;
    } finally {
      clearTimeout(late);
      x.close();
      if (this.exchange === x) this.exchange = null;
    }
    if (!x.ended || !this.live) return;
    await sleep(700); // in which an event may say why
    if (this.reason && performance.now() - this.reason.at < 3000) throw Object.assign(new Error(this.reason.why), { status: 409 });
  }
}

// Sender sends into a room. slot() and name() are asked at each beginning.
export class Sender extends Keeper {
  constructor({ room, source, say, name, slot }) {
    super({ source, say, words: { opening: 'Opening what is to be sent', live: 'You are live.', idle: 'You are not sending.' } });
    Object.assign(this, { room, name, slot });
    // Without a goodbye the peer holds the slot for 30 s, in which a page that was loaded again goes on.
    addEventListener('pagehide', () => {
      this.exchange?.drop();
      this.exchange?.onlost();
    });
  }

  begin() {
    this.place = this.slot();
  }

  over(slot, why) {
    if ((slot || 'main').toLowerCase() === this.place?.toLowerCase()) super.over(slot, why);
  }

  // session is one connection, from offer to end.
  async session() {
    const query = new URLSearchParams({ slot: this.place });
    if (this.name()) query.set('name', this.name());
    const x = new Exchange(`/whip/${encodeURIComponent(this.room)}?${query}`);
    x.senders = {};
    const { media } = this.source;
    for (const track of media.getTracks()) {
      const encoding = track.kind === 'video' ? [{ maxBitrate: videoRate }] : undefined;
      x.senders[track.kind] = x.pc.addTransceiver(track, { direction: 'sendonly', streams: [media], sendEncodings: encoding }).sender;
    }
    await this.keep(x);
  }
}
