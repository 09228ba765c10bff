// The hand of who only listens. It belongs to the session by which he does; on another one it is raised again.

import { request } from './api.js';

// Asking raises it. changed() is called when something has, told(text) with what there is to say.
export class Asking {
  constructor({ watcher, name, changed, told }) {
    Object.assign(this, { watcher, name, changed, told });
    this.wanted = false;
    this.away = false; // on the way into the call, into which the hand goes along
    this.state = {}; // what the peer says: raised, place, called
  }

  get called() { return Boolean(this.wanted && this.state.called); }

  async ask(at, options) {
    try {
      return await (await request(at + '/hand', options)).json();
    } catch (err) {
      if (err.status !== 0 && err.status !== 404) this.told(err.message); // of these the connection tells
      return null;
    }
  }

  async raise(on) {
    const { session } = this.watcher;
    this.wanted = on && Boolean(session);
    this.state = {};
    this.changed();
    if (!session) return;
    const body = JSON.stringify({ raised: on, name: this.name() });
    const state = await this.ask(session, { method: 'PUT', headers: { 'Content-Type': 'application/json' }, body });
    this.at = session;
    this.state = state || {};
    this.wanted = Boolean(this.state.raised);
    this.changed();
  }

  // look asks what has become of it.
  async look() {
    const { session } = this.watcher;
    if (!this.wanted || !session || this.away) return;
    if (session !== this.at) {
      this.raise(true);
      return;
    }
    const state = await this.ask(session);
    if (!state || !this.wanted || this.away || session !== this.at) return;
    this.state = state;
    if (!state.raised) {
      this.wanted = false;
      this.told('A moderator has taken your hand down.');
    }
    this.changed();
  }
}
