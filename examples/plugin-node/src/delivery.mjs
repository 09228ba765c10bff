// Sending events to the webhook: in batches, one after the other, each again until it is taken or too old.

import { Queue } from './queue.mjs';
import { sign } from './signature.mjs';

export const limits = {
  batch: { events: 100, octets: 256 << 10 },
  waiting: 8 << 20, // octets
  gather: 200, // ms that the first event of a batch waits for others
  backoff: { first: 500, most: 60_000 }, // ms
};

// backoff returns how long to wait after so many failures in a row: a random time ("full jitter"), so that many who fail together
// do not come back together, but at least what the receiver asks for.
export function backoff(failures, random, retryAfter) {
  const { first, most } = limits.backoff;
  const longest = Math.min(most, first * 2 ** Math.min(failures - 1, 20));
  const asked = /^\d+$/.test(retryAfter ?? '') ? Number(retryAfter) * 1000 : 0;
  return Math.max(longest * random(), Math.min(asked, most), first / 5);
}

// retriable says whether the same request may be taken later.
const retriable = (status) => status >= 500 || [408, 425, 429].includes(status);

// Delivery takes events and sends them. What happens outside is passed in: post (post.mjs), clock as { now(), after(ms, f) } where after
// returns a function that cancels, random as Math.random, and id for the names of batches.
export class Delivery {
  #key;
  #giveUp;
  #run;
  #outside;
  #queue;
  #batch; // what is being sent: { id, body, events, time }
  #cancel; // of what is waited for: more events, or the next try
  #posting = false;
  #number = 0;
  #stopped; // resolves the promise of stop
  #failures = 0; // in a row
  #failing = ''; // how the last request failed

  delivered = 0;
  expired = 0; // not taken in time
  refused = 0; // which the webhook did not want
  requests = 0;
  failed = 0; // requests

  // settings has key, giveUp in ms, and queue in events; run names this life of the plugin.
  constructor(settings, run, outside) {
    this.#key = settings.key;
    this.#giveUp = settings.giveUp;
    this.#queue = new Queue({ events: settings.queue, octets: limits.waiting });
    this.#run = run;
    this.#outside = outside;
  }

  get dropped() {
    return this.#queue.dropped;
  }

  // lost is how many events the webhook will never get.
  get lost() {
    return this.dropped + this.expired + this.refused;
  }

  get waiting() {
    return this.#queue.length + (this.#batch?.events ?? 0);
  }

  // problem is a sentence for the operator, "" when all is well. One failure is none: it is what retries are for.
  get problem() {
    if (this.#failing === '' || (this.#failures > 0 && this.#failures < 3)) return '';
    return `the webhook does not take events (${this.#failing}): ${this.waiting} wait and ${this.lost} are lost`;
  }

  // add sends an event, sometime. It gets a number, so that the receiver sees what is missing.
  add(event) {
    this.#queue.push(JSON.stringify({ number: ++this.#number, ...event }), this.#outside.clock.now());
    if (this.#batch) return;
    if (this.#queue.full(limits.batch) || this.#stopped) this.#next();
    else this.#cancel ??= this.#outside.clock.after(limits.gather, () => this.#next());
  }

  // stop sends what waits, without trying again, and gives a promise of the end: at a time in ms at the latest.
  stop(deadline) {
    return new Promise((resolve) => {
      this.#stopped = resolve;
      this.#outside.clock.after(Math.max(0, deadline - this.#outside.clock.now()), resolve);
      if (!this.#posting) this.#batch ? this.#try() : this.#next();
    });
  }

  #wait(ms, f) {
    this.#cancel = this.#outside.clock.after(ms, f);
  }

  #awake() {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  // next begins with the next batch, if there is one.
  #next() {
    this.#awake();
    this.#batch = undefined;
    const events = this.#queue.take(limits.batch);
    if (events.length === 0) {
      this.#stopped?.();
      return;
    }
    const body = `{"run":${JSON.stringify(this.#run)},"lost":${this.lost},"events":[${events.map((e) => e.text).join(',')}]}`;
    this.#batch = { id: this.#outside.id(), body, events: events.length, time: events[0].time };
    this.#try();
  }

  // try sends the batch.
  async #try() {
    this.#awake();
    const { id, body } = this.#batch;
    const headers = { 'content-type': 'application/json', ...sign(this.#key, id, Math.floor(this.#outside.clock.now() / 1000), body) };
    this.requests++;
    this.#posting = true;
    let status = 0;
    let retryAfter;
    let failure = '';
    try {
      ({ status, retryAfter } = await this.#outside.post(body, headers));
      if (status < 200 || status > 299) failure = `HTTP ${status}`;
    } catch (err) {
      failure = err.code ?? 'error'; // its text may name addresses
    }
    this.#posting = false;
    this.#answered(status, retryAfter, failure);
  }

  #answered(status, retryAfter, failure) {
    const before = this.#failing;
    this.#failing = failure;
    if (failure === '') {
      this.#failures = 0;
      this.delivered += this.#batch.events;
      if (before !== '') this.#outside.log('info', 'the webhook takes events again');
      this.#next();
      return;
    }
    this.failed++;
    if (failure !== before) this.#outside.log('warn', 'the webhook does not take events', { failure });
    if (status !== 0 && !retriable(status)) {
      this.#failures = 0;
      this.#lose('refused');
      return;
    }
    this.#failures++;
    const ms = backoff(this.#failures, this.#outside.random, retryAfter);
    if (this.#stopped || this.#outside.clock.now() + ms > this.#batch.time + this.#giveUp) this.#lose('expired');
    else this.#wait(ms, () => this.#try());
  }

  // lose gives the batch up.
  #lose(why) {
    this[why] += this.#batch.events;
    this.#outside.losing(this.lost);
    if (this.#stopped && why === 'expired') {
      this.#batch = undefined;
      this.#stopped();
      return;
    }
    this.#next();
  }
}
