// Events that wait to be sent. Each is a text of JSON.

// Queue is bounded in events and octets: of more the oldest are dropped, and counted.
export class Queue {
  #limits;
  #waiting = []; // from #first on
  #first = 0;
  octets = 0;
  dropped = 0;

  constructor(limits) {
    this.#limits = limits; // { events, octets }
  }

  get length() {
    return this.#waiting.length - this.#first;
  }

  // push adds an event that came at a time in milliseconds.
  push(text, time) {
    const octets = Buffer.byteLength(text);
    if (octets > this.#limits.octets) {
      this.dropped++;
      return;
    }
    this.#waiting.push({ text, octets, time });
    this.octets += octets;
    while (this.length > this.#limits.events || this.octets > this.#limits.octets) {
      this.#shift();
      this.dropped++;
    }
  }

  // full says whether a whole batch waits.
  full(limits) {
    return this.length >= limits.events || this.octets >= limits.octets;
  }

  // take returns the oldest events, as many as a batch may have; at least one where there is any.
  take(limits) {
    const batch = [];
    let octets = 0;
    while (this.length > 0 && batch.length < limits.events) {
      octets += this.#waiting[this.#first].octets;
      if (batch.length > 0 && octets > limits.octets) break;
      batch.push(this.#shift());
    }
    return batch;
  }

  #shift() {
    const event = this.#waiting[this.#first];
    this.#waiting[this.#first++] = undefined;
    this.octets -= event.octets;
    if (this.#first > 1000 && this.#first * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#first);
      this.#first = 0;
    }
    return event;
  }
}
