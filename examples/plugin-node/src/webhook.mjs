// The plugin: events of rooms, to a webhook.

import { randomUUID } from 'node:crypto';
import { ConfigError, log } from './castd.mjs';
import { Delivery } from './delivery.mjs';
import { poster } from './post.mjs';
import { Roster } from './roster.mjs';
import { parseSettings } from './settings.mjs';

export const description = {
  name: 'webhook',
  version: '0.1.0',
  summary: 'Posts what happens in rooms to a webhook, signed',
  protocols: [1],
  capabilities: ['sink'],
  permissions: ['rooms', 'network', 'notify'],
  // Node's standard library makes no certificates, which go-plugin's AutoMTLS needs. The socket is in a folder of the user's own.
  no_mtls: true,
  config: {
    url: { type: 'string', required: true, secret: true, help: 'where events are posted to; some have a secret in their path' },
    secret: { type: 'string', required: true, secret: true, help: 'whsec_ and the base64 of 24 to 64 octets, to sign requests with' },
    events: {
      type: 'string',
      default: 'room.begin,room.end,participant.joined,participant.left,participant.changed,peer,left,stream,recording',
      help: 'which events, separated by commas; all for all',
    },
    queue: { type: 'number', default: 1000, help: 'how many events may wait; of more the oldest are dropped' },
    timeout: { type: 'duration', default: '10s', help: 'how long a request may take' },
    give_up: { type: 'duration', default: '10m', help: 'how long events are tried again' },
  },
};

const clock = {
  now: () => Date.now(),
  after(ms, f) {
    const timer = setTimeout(f, ms);
    return () => clearTimeout(timer);
  },
};

// Webhook is what castd.mjs calls a plugin.
export class Webhook {
  #wanted;
  #delivery;
  #missing = ''; // permission

  configure({ settings, granted, host }) {
    const s = parseSettings(settings);
    if (s.problem) throw new ConfigError(s.problem);
    this.#wanted = s.events;
    this.#missing = granted.includes('network') ? '' : 'network';
    const notify = granted.includes('notify');
    let told = false;
    this.#delivery = new Delivery(s, randomUUID(), {
      clock,
      post: poster(s.url, s.timeout),
      random: Math.random,
      id: () => `msg_${randomUUID()}`,
      log,
      losing(lost) {
        if (told || !notify) return;
        told = true; // once is enough: the number is in the metrics
        const message = `${lost} events for the webhook are lost: see castd plugin list`;
        host.call('notify', { message }).catch((err) => log('warn', err.details ?? err.message));
      },
    });
  }

  // attend tells what happens in a room.
  attend(room) {
    const at = { id: room.id, name: room.name };
    const participants = room.participants.map(person);
    const roster = new Roster(participants);
    const tell = (type, time, data) => {
      if (this.#wanted(type) && !this.#missing) this.#delivery.add({ type, time, room: at, ...data });
    };
    const now = () => new Date().toISOString();
    tell('room.begin', now(), { title: room.title, mode: room.mode, participants });
    return {
      message: ({ events }) => {
        for (const { event, time, json } of events) {
          const { event: _event, time: _time, room: _room, ...data } = JSON.parse(json.toString());
          if (event === 'participants') {
            const now = data.participants.map(({ participant, ...rest }) => person({ id: participant, ...rest }));
            for (const { type, participant } of roster.change(now)) tell(type, time, { participant });
          } else {
            tell(event, time, { data });
          }
        }
      },
      end: () => tell('room.end', now()),
    };
  }

  health() {
    if (!this.#missing) return this.#delivery.problem;
    return `it was not granted ${this.#missing}, and sends nothing: type castd plugin enable ${description.name} --grant ${this.#missing}`;
  }

  metrics() {
    const d = this.#delivery;
    return [
      { name: 'webhook_delivered_events_total', help: 'Events that the webhook took.', value: d.delivered },
      { name: 'webhook_dropped_events_total', help: 'Events for which there was no room in the queue.', value: d.dropped },
      { name: 'webhook_expired_events_total', help: 'Events that the webhook did not take in time.', value: d.expired },
      { name: 'webhook_refused_events_total', help: 'Events that the webhook did not want.', value: d.refused },
      { name: 'webhook_requests_total', help: 'Requests.', value: d.requests },
      { name: 'webhook_failed_requests_total', help: 'Requests that failed.', value: d.failed },
      { name: 'webhook_waiting_events', help: 'Events that wait.', value: d.waiting },
    ];
  }

  stop(deadline) {
    return this.#delivery ? this.#delivery.stop(deadline - 200) : Promise.resolve();
  }
}

// person has of a participant what Begin and events have in common.
function person({ id, name, roles, muted }) {
  return { id, name: name ?? '', roles: roles ?? [], muted };
}
