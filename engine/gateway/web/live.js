// Going live: devices, preview, level, and a WHIP session that comes back when the connection is lost.

import { Exchange } from './exchange.js';
import { backoff, sleep } from './api.js';

const videoRate = 1500000; // bits per second, what a peer reckons a programme with

// whyNoDevices returns why this browser gives the page no camera, "" if it may.
export function whyNoDevices() {
  if (!('RTCPeerConnection' in window)) return 'This browser has no WebRTC. Use a current Firefox, Chrome, Edge or Safari.';
  if (isSecureContext && navigator.mediaDevices) return '';
  return 'Browsers give camera and microphone only to pages from https:// or from their own machine. Open this page at ' +
    'http://127.0.0.1' + (location.port ? ':' + location.port : '') + ' on the machine that runs castd, start castd with --tls self, or send from OBS.';
}

// deviceMessage says what to do about an error of getUserMedia.
function deviceMessage(err) {
  switch (err.name) {
    case 'NotAllowedError': return 'The browser was not allowed to use camera or microphone. Allow it beside the address, and try again.';
    case 'NotFoundError': return 'No such camera or microphone was found. Plug one in, or choose "No picture" or "No sound".';
    case 'NotReadableError': return 'Camera or microphone are in use by another program. Close that, and try again.';
    case 'OverconstrainedError': return 'That device has gone. Choose another one.';
  }
  return 'Camera or microphone could not be opened: ' + err.message;
}

// Sender goes live. Changes are told by say(state, text); state is idle, connecting, live or error.
export class Sender {
  constructor({ room, preview, level, camera, microphone, say, name }) {
    Object.assign(this, { room, preview, level, camera, microphone, say, name });
    addEventListener('pagehide', () => this.exchange?.close());
    camera.addEventListener('change', () => this.change());
    microphone.addEventListener('change', () => this.change());
    navigator.mediaDevices?.addEventListener?.('devicechange', () => this.list());
  }

  // open opens the chosen devices and shows them.
  async open() {
    const media = new MediaStream();
    const stop = () => media.getTracks().forEach((t) => t.stop());
    try {
      const sound = this.microphone.value;
      const picture = this.camera.value;
      const audio = sound !== 'none' && { echoCancellation: true, noiseSuppression: true, autoGainControl: true, ...(sound !== 'default' && { deviceId: { exact: sound } }) };
      const video = picture !== 'none' && picture !== 'screen' &&
        { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 }, ...(picture !== 'default' && { deviceId: { exact: picture } }) };
      if (!audio && picture === 'none') throw Object.assign(new Error('There is nothing to send: choose a picture or sound.'), { plain: true });
      if (audio || video) (await this.devices(audio, video)).getTracks().forEach((t) => media.addTrack(t));
      if (picture === 'screen') {
        const [track] = (await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 30 } } })).getVideoTracks();
        track.contentHint = 'detail';
        media.addTrack(track);
      }
    } catch (err) {
      stop();
      throw err.plain ? err : Object.assign(new Error(deviceMessage(err)), { plain: true });
    }
    this.release();
    this.media = media;
    this.preview.srcObject = media;
    this.preview.classList.toggle('on', media.getVideoTracks().length > 0);
    this.preview.classList.toggle('straight', this.camera.value === 'screen');
    this.preview.play().catch(() => {});
    for (const t of media.getTracks()) t.addEventListener('ended', () => this.ended(t));
    this.listen();
    this.list();
    return media;
  }

  // devices opens both, or the one that there is where the person did not choose.
  async devices(audio, video) {
    try {
      return await navigator.mediaDevices.getUserMedia({ audio, video });
    } catch (err) {
      if (err.name !== 'NotFoundError' || !audio || !video) throw err;
      return navigator.mediaDevices.getUserMedia({ audio }).catch(() => navigator.mediaDevices.getUserMedia({ video }));
    }
  }

  // release gives the devices back.
  release() {
    this.media?.getTracks().forEach((t) => t.stop());
    this.media = null;
    this.preview.srcObject = null;
    this.preview.classList.remove('on');
    this.sound?.close();
    this.sound = null;
    this.level.value = 0;
  }

  // list fills the device choice, with names once the browser gives them.
  async list() {
    if (!navigator.mediaDevices?.enumerateDevices) return;
    const all = await navigator.mediaDevices.enumerateDevices().catch(() => []);
    for (const [select, kind] of [[this.camera, 'videoinput'], [this.microphone, 'audioinput']]) {
      const chosen = select.value;
      select.querySelectorAll('option[data-device]').forEach((o) => o.remove());
      const before = select.options[1];
      for (const d of all) {
        if (d.kind !== kind || !d.deviceId || !d.label || d.deviceId === 'default') continue;
        const option = new Option(d.label, d.deviceId);
        option.dataset.device = '';
        select.insertBefore(option, before);
      }
      if ([...select.options].some((o) => o.value === chosen)) select.value = chosen;
    }
  }

  // listen drives the level meter.
  listen() {
    const [track] = this.media.getAudioTracks();
    if (!track) return;
    const context = this.sound = new AudioContext();
    const analyser = context.createAnalyser();
    analyser.fftSize = 1024;
    context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const draw = () => {
      if (this.sound !== context) return;
      analyser.getFloatTimeDomainData(samples);
      let sum = 0;
      for (const v of samples) sum += v * v;
      const db = 10 * Math.log10(sum / samples.length + 1e-9);
      this.level.value = Math.max(0, Math.min(1, (db + 60) / 54)); // -60 dBFS to -6 dBFS
      requestAnimationFrame(draw);
    };
    draw();
  }

  // change follows another choice of devices, also while sending.
  async change() {
    if (!this.media) return;
    try {
      await this.open();
    } catch (err) {
      return this.say(this.live ? 'live' : 'error', err.message);
    }
    const senders = this.exchange?.senders || {};
    for (const kind of ['audio', 'video']) {
      const track = this.media.getTracks().find((t) => t.kind === kind) || null;
      if (senders[kind]) await senders[kind].replaceTrack(track).catch(() => {});
      else if (track && this.exchange) this.exchange.lost(); // it was not offered: offer anew
    }
  }

  ended(track) {
    if (!this.media?.getTracks().includes(track)) return;
    const what = track.kind === 'video' ? 'The picture' : 'The microphone';
    this.say(this.live ? 'live' : 'idle', what + ' has stopped at its source. Choose another one.');
  }

  // start goes live and stays so until stop is called or it becomes useless.
  async start() {
    if (this.live) return;
    this.live = true;
    try {
      if (!this.media) {
        this.say('connecting', 'Opening camera and microphone');
        await this.open();
      }
      for (let failures = 0; this.live; failures++) {
        const before = performance.now();
        this.say('connecting', failures ? 'Connection lost, trying again' : 'Connecting');
        let wait = 0;
        try {
          await this.session();
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
      this.release();
    }
  }

  stop() {
    this.live = false;
    this.pause?.abort();
    this.exchange?.lost();
  }

  async session() {
    const query = this.name() ? '?name=' + encodeURIComponent(this.name()) : '';
    const x = this.exchange = new Exchange('/whip/' + encodeURIComponent(this.room) + query);
    x.senders = {};
    for (const track of this.media.getTracks()) {
      const encoding = track.kind === 'video' ? [{ maxBitrate: videoRate }] : undefined;
      x.senders[track.kind] = x.pc.addTransceiver(track, { direction: 'sendonly', streams: [this.media], sendEncodings: encoding }).sender;
    }
    const lost = new Promise((resolve) => { x.onlost = resolve; });
    x.onconnected = () => this.say('live', 'You are live.');
    x.onshaky = () => this.say('connecting', 'Connection lost, waiting for it');
    const late = setTimeout(() => { if (x.pc.connectionState !== 'connected') x.lost(); }, 12000);
    try {
      await x.open();
      await lost;
    } finally {
      clearTimeout(late);
      x.close();
      this.exchange = null;
    }
  }
}
