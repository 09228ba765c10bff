// One WHIP (RFC 9725) or WHEP exchange: offer, answer, trickle ICE, and the end of the session.

import { request, token } from './api.js';

// Exchange is one connection. It calls onlost once when the connection is over without close() having been called.
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
    this.pc.addEventListener('icecandidate', (e) => { if (e.candidate?.candidate) this.trickle(e.candidate); });
    this.pc.addEventListener('connectionstatechange', () => this.changed());
  }

  // open sends the offer and takes the answer. It returns before media flows; candidates follow by PATCH.
  async open(munge = (sdp) => sdp, signal) {
    const offer = await this.pc.createOffer();
    await this.pc.setLocalDescription({ type: 'offer', sdp: munge(offer.sdp) });
    const response = await request(this.path, {
      method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: this.pc.localDescription.sdp, signal,
    });
    this.location = new URL(response.headers.get('Location'), response.url).href;
    this.etag = response.headers.get('ETag') || '';
    if (this.over) return this.leave().catch(() => {});
    await this.pc.setRemoteDescription({ type: 'answer', sdp: await response.text() });
    const dtls = this.pc.getTransceivers()[0]?.sender.transport || this.pc.getTransceivers()[0]?.receiver.transport;
    dtls?.addEventListener('statechange', () => { if (dtls.state === 'closed' || dtls.state === 'failed') this.lost(); });
    this.flush();
  }

  trickle(candidate) {
    this.waiting.push(candidate);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush(), 50);
  }

  // flush sends candidates as a fragment (RFC 8840 section 9). Peers that can be reached need none of them, so failures do not
  // matter here: the connection shows.
  flush() {
    if (!this.location || this.over || this.waiting.length === 0) return;
    const sdp = this.pc.localDescription.sdp;
    const line = (pattern) => (pattern.exec(sdp) || [''])[0];
    const mid = /^a=mid:(.*)$/m.exec(sdp)?.[1].trim() || '0';
    const body = [
      line(/^a=ice-ufrag:.*$/m).trim(), line(/^a=ice-pwd:.*$/m).trim(), line(/^m=.*$/m).trim(), 'a=mid:' + mid,
      ...this.waiting.map((c) => 'a=' + c.candidate), '',
    ].join('\r\n');
    this.waiting = [];
    request(this.location, {
      method: 'PATCH', headers: { 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': this.etag }, body,
    }).catch(() => {});
  }

  changed() {
    const state = this.pc.connectionState;
    clearTimeout(this.patience);
    if (state === 'connected') this.onconnected();
    if (state === 'failed' || state === 'closed') this.lost();
    if (state === 'disconnected') {
      this.onshaky();
      this.patience = setTimeout(() => this.lost(), 2500);
    }
  }

  lost() {
    if (this.over) return;
    this.close();
    this.onlost();
  }

  // close ends the session, first at the peer: a connection that just ends would be waited for.
  close() {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.timer);
    clearTimeout(this.patience);
    const done = () => this.pc.close();
    this.leave().then(done, done);
    setTimeout(done, 1000);
  }

  // leave tells the peer. It also works while the page goes away.
  async leave() {
    if (!this.location) return;
    const { location } = this;
    this.location = '';
    await fetch(location, { method: 'DELETE', headers: { Authorization: 'Bearer ' + token() }, keepalive: true });
  }
}
