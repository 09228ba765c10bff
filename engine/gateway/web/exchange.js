// One WHIP (RFC 9725) or WHEP exchange: offer, answer, trickle ICE, ICE restarts, and the end of the session.

import { backoff, request, sleep, token } from './api.js';

const fragmentType = 'application/trickle-ice-sdpfrag';

// Milliseconds.
const stalledAfter = 5000; // without anything from the peer
const mendFor = 8000; // in which restarts of ICE are tried; a peer does not keep a session for longer
const settleFor = 2500; // in which a restart must have led to a connection

// Exchange is one connection. It calls onlost once when the connection is over without close() having been called, onshaky when
// it has trouble and tries to mend that, onconnected whenever the connection is there (again).
export class Exchange {
  constructor(path) {
    this.path = path;
    this.pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    this.onlost = () => {};
    this.onconnected = () => {};
    this.onshaky = () => {};
    this.location = '';
    this.etag = '';
    this.waiting = []; // candidates that were not sent yet
    this.over = false;
    this.ended = false; // the peer has ended it, not the network
    this.mending = false;
    this.munge = (sdp) => sdp;
    this.pc.addEventListener('icecandidate', (e) => { if (e.candidate?.candidate) this.trickle(e.candidate); });
    this.pc.addEventListener('connectionstatechange', () => this.changed());
  }

  // open sends the offer and takes the answer. It returns before media flows; candidates follow by PATCH.
  async open(munge = (sdp) => sdp) {
    this.munge = munge;
    await this.offer({});
    const response = await request(this.path, {
      method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: this.pc.localDescription.sdp,
    });
    this.location = new URL(response.headers.get('Location'), response.url).href;
    this.etag = response.headers.get('ETag') || '';
    if (this.over) return this.leave().catch(() => {});
    this.answer = await response.text();
    await this.pc.setRemoteDescription({ type: 'answer', sdp: this.answer });
    const dtls = this.pc.getTransceivers()[0]?.sender.transport || this.pc.getTransceivers()[0]?.receiver.transport;
    dtls?.addEventListener('statechange', () => {
      this.ended ||= dtls.state === 'closed' && !this.over;
      if (dtls.state === 'closed' || dtls.state === 'failed') this.lost();
    });
    this.flush();
    this.clock = setInterval(() => this.look(), 1000);
  }

  async offer(options) {
    const offer = await this.pc.createOffer(options);
    await this.pc.setLocalDescription({ type: 'offer', sdp: this.munge(offer.sdp) });
  }

  trickle(candidate) {
    this.waiting.push(candidate);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush(), 50);
  }

  // fragment writes the candidates that wait (RFC 8840 section 9).
  fragment() {
    const sdp = this.pc.localDescription.sdp;
    const line = (pattern) => (pattern.exec(sdp) || [''])[0].trim();
    const mid = /^a=mid:(.*)$/m.exec(sdp)?.[1].trim() || '0';
    const body = [
      line(/^a=ice-ufrag:.*$/m), line(/^a=ice-pwd:.*$/m), line(/^m=.*$/m), 'a=mid:' + mid,
      ...this.waiting.map((c) => 'a=' + c.candidate), '',
    ].join('\r\n');
    this.waiting = [];
    return body;
  }

  patch(match, body) {
    return request(this.location, { method: 'PATCH', headers: { 'Content-Type': fragmentType, 'If-Match': match }, body, timeout: 3000 });
  }

  // flush sends candidates. Peers that can be reached need none of them, so failures do not matter here: the connection shows.
  flush() {
    if (!this.location || this.over || this.restarting || this.waiting.length === 0) return;
    this.patch(this.etag, this.fragment()).catch(() => {});
  }

  // restart begins a new generation of ICE (RFC 9725 section 4.3.3); tracks and keys stay. If-Match is "whatever there is", since
  // the answer to an earlier restart may have got lost.
  async restart() {
    this.restarting = true;
    try {
      this.waiting = [];
      await this.offer({ iceRestart: true });
      await sleep(100); // in which most candidates come
      const response = await this.patch('*', this.fragment());
      this.etag = response.headers.get('ETag') || this.etag;
      this.answer = renewed(this.answer, await response.text());
      if (!this.over) await this.pc.setRemoteDescription({ type: 'answer', sdp: this.answer });
    } finally {
      this.restarting = false;
    }
    this.flush();
  }

  // mend keeps the session over a change of networks: it restarts ICE until that helps, the peer says that the session is over, or
  // it took too long. Then the connection is lost.
  async mend() {
    if (this.mending || this.over || !this.answer) return;
    this.mending = true;
    this.onshaky();
    const end = performance.now() + mendFor;
    for (let n = 0; !this.over; n++) {
      try {
        await this.restart();
        if (await this.settled()) {
          this.mending = false;
          this.stalls = { value: -1, at: performance.now(), patience: Math.min(8, 2 * (this.stalls?.patience || 1)) };
          return this.onconnected();
        }
      } catch (err) {
        this.ended ||= err.status === 404;
        if (err.status !== 0) break; // there is no such session any more, or this browser cannot
      }
      if (performance.now() > end) break;
      await sleep(backoff(n) / 2);
    }
    this.lost();
  }

  // settled waits until the connection is there.
  async settled() {
    const end = performance.now() + settleFor;
    while (!this.over && performance.now() < end) {
      await sleep(100);
      if (['connected', 'completed'].includes(this.pc.iceConnectionState) && this.pc.connectionState === 'connected') return true;
    }
    return false;
  }

  // look notices that nothing comes from the peer any more, sooner than ICE does. Where a browser does not count all that comes
  // that may be wrong; so it is in less and less of a hurry.
  async look() {
    if (this.over || this.mending || this.pc.connectionState !== 'connected') return;
    const value = await this.heard();
    const now = performance.now();
    const s = this.stalls ||= { value, at: now, patience: 1 };
    if (value !== s.value) {
      if (s.value >= 0 && now - s.at > 2 * stalledAfter) s.patience = 1;
      s.value = value;
      s.at = now;
    } else if (now - s.at > stalledAfter * s.patience) {
      s.at = now;
      this.mend();
    }
  }

  // heard counts what has come from the peer, of whatever kind.
  async heard() {
    let sum = 0;
    for (const s of (await this.pc.getStats().catch(() => new Map())).values()) {
      if (s.type === 'inbound-rtp') sum += s.packetsReceived || 0;
      if (s.type === 'candidate-pair') sum += (s.responsesReceived || 0) + (s.requestsReceived || 0) + (s.bytesReceived || 0);
    }
    return sum;
  }

  // check makes sure, after the machine has slept or was in another network, that the connection is still there.
  async check() {
    if (this.over || this.mending) return;
    const before = await this.heard();
    await sleep(1200);
    if (await this.heard() === before) this.mend();
  }

  changed() {
    const state = this.pc.connectionState;
    this.reached ||= state === 'connected';
    if (state === 'connected' && !this.mending) this.onconnected();
    if (state === 'closed' || state === 'failed' && !this.reached) this.lost();
    else if (state === 'failed' || state === 'disconnected') this.mend();
  }

  lost() {
    if (this.over) return;
    this.close();
    this.onlost();
  }

  // close ends the session, first at the peer: a connection that just ends would be waited for.
  close() {
    if (this.over) return;
    this.stop();
    const done = () => this.pc.close();
    this.leave().then(done, done);
    setTimeout(done, 1000);
  }

  // drop ends the connection without a word, so that the peer waits a while for who comes back.
  drop() {
    if (this.over) return;
    this.stop();
    this.pc.close();
  }

  stop() {
    this.over = true;
    clearTimeout(this.timer);
    clearInterval(this.clock);
  }

  // leave tells the peer. It also works while the page goes away.
  async leave() {
    if (!this.location) return;
    const { location } = this;
    this.location = '';
    await fetch(location, { method: 'DELETE', headers: { Authorization: 'Bearer ' + token() }, keepalive: true });
  }
}

// renewed is an answer with the transport of a fragment that answers a restart.
export function renewed(answer, fragment) {
  const value = (name) => new RegExp(`^a=${name}:(.*?)\\r?$`, 'm').exec(fragment)?.[1];
  const ufrag = value('ice-ufrag');
  const pwd = value('ice-pwd');
  const candidates = fragment.split(/\r?\n/).filter((l) => l.startsWith('a=candidate:'));
  let placed = false;
  const lines = [];
  for (const l of answer.split(/\r?\n/)) {
    if (l.startsWith('a=candidate:') || l.startsWith('a=end-of-candidates')) continue;
    if (l.startsWith('a=ice-ufrag:') && ufrag) lines.push('a=ice-ufrag:' + ufrag);
    else if (l.startsWith('a=ice-pwd:') && pwd) lines.push('a=ice-pwd:' + pwd);
    else lines.push(l);
    if (l.startsWith('a=mid:') && !placed) {
      placed = true;
      lines.push(...candidates);
    }
  }
  return lines.join('\r\n');
}
