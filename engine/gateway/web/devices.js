// What can be sent: a camera and a microphone with a preview, or a screen; and why they are not there, in words that help.

// whyNoDevices returns why this browser gives the page no camera, "" if it may.
export function whyNoDevices(room) {
  if (!('RTCPeerConnection' in window)) return 'This browser has no WebRTC. Use a current Firefox, Chrome, Edge or Safari.';
  if (isSecureContext && navigator.mediaDevices) return '';
  const port = location.port || '80';
  return 'This page came over http from another machine, and browsers give camera and microphone only to https. Whoever runs castd can ' +
    `start it with: castd start --room ${room} --http 0.0.0.0:${port} --tls self (the page is then at https://${location.host}${location.pathname}); ` +
    `or open http://127.0.0.1:${port}${location.pathname} on that machine itself; or send from OBS.`;
}

// canShare says whether this browser can send a screen; those of phones cannot.
export const canShare = () => isSecureContext && Boolean(navigator.mediaDevices?.getDisplayMedia);

const allow = ' Allow it beside the address (press the symbol to its left), and try again.';

// deviceMessage says what to do about an error of getUserMedia, which was asked for a camera as well, or for a microphone alone.
export async function deviceMessage(err, camera = true) {
  const names = camera ? ['camera', 'microphone'] : ['microphone'];
  const either = camera ? 'camera or microphone' : 'the microphone';
  const Either = either[0].toUpperCase() + either.slice(1);
  switch (err.name) {
    case 'NotAllowedError': {
      if (/system/i.test(err.message)) {
        return `The operating system keeps ${camera ? 'camera and microphone' : 'the microphone'} from this browser. Allow ${camera ? 'them' : 'it'} in its settings, under privacy, and try again.`;
      }
      const states = await Promise.all(names.map((name) => navigator.permissions?.query({ name }).then((p) => p.state, () => '')));
      if (states.includes('denied')) return `${Either} ${camera ? 'are' : 'is'} blocked for this page.` + allow;
      return `The browser was not allowed to use ${either}.` + allow;
    }
    case 'NotFoundError': return camera
      ? 'No such camera or microphone was found. Plug one in, or choose "No picture" or "No sound".'
      : 'No microphone was found. Plug one in, and try again; until then you can listen.';
    case 'NotReadableError':
    case 'AbortError': return camera
      ? 'Camera or microphone are in use by another program or do not answer. Close other programs that use them, or plug them in again, and try again.'
      : 'The microphone is in use by another program or does not answer. Close other programs that use it, or plug it in again, and try again.';
    case 'OverconstrainedError': return 'That device has gone. Choose another one.';
  }
  return `${Either} could not be opened: ` + err.message;
}

// plainly makes an error whose message is for the person.
const plainly = (text, name = '') => Object.assign(new Error(text), { plain: true, reason: name });

// Devices is a camera and a microphone, as chosen, or without camera and preview a microphone alone. changed(media) tells of another choice, lost(text) of a device that has gone.
export class Devices {
  constructor({ preview, level, camera, microphone }) {
    Object.assign(this, { preview, level, camera, microphone });
    this.changed = () => {};
    this.lost = () => {};
    this.failed = () => {};
    for (const select of [camera, microphone]) select?.addEventListener('change', () => this.change());
    navigator.mediaDevices?.addEventListener?.('devicechange', () => this.list());
  }

  // open opens the chosen devices and shows them.
  async open() {
    const sound = this.microphone.value;
    const picture = this.camera?.value || 'none';
    const audio = sound !== 'none' && { echoCancellation: true, noiseSuppression: true, autoGainControl: true, ...(sound !== 'default' && { deviceId: { exact: sound } }) };
    const video = picture !== 'none' &&
      { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 }, ...(picture !== 'default' && { deviceId: { exact: picture } }) };
    if (!audio && !video) throw plainly('There is nothing to send: choose a picture or sound.');
    let media;
    try {
      media = await this.take(audio, video);
    } catch (err) {
      throw plainly(await deviceMessage(err, Boolean(this.camera)), err.name);
    }
    this.release();
    this.media = media;
    this.show(media);
    for (const t of media.getTracks()) t.addEventListener('ended', () => this.ended(t));
    this.listen();
    this.list();
    return media;
  }

  // take opens both, or the one that there is where the person did not choose.
  async take(audio, video) {
    try {
      return await navigator.mediaDevices.getUserMedia({ audio, video });
    } catch (err) {
      if (err.name !== 'NotFoundError' || !audio || !video) throw err;
      return navigator.mediaDevices.getUserMedia({ audio }).catch(() => navigator.mediaDevices.getUserMedia({ video }));
    }
  }

  show(media) {
    if (!this.preview) return;
    this.preview.srcObject = media;
    this.preview.classList.toggle('on', Boolean(media?.getVideoTracks().length));
    if (media) this.preview.play().catch(() => {});
  }

  // release gives the devices back.
  release() {
    this.media?.getTracks().forEach((t) => t.stop());
    this.media = null;
    this.show(null);
    this.sound?.close();
    this.sound = null;
    this.level.value = 0;
  }

  // list fills the device choice, with names once the browser gives them.
  async list() {
    if (!navigator.mediaDevices?.enumerateDevices) return;
    const all = await navigator.mediaDevices.enumerateDevices().catch(() => []);
    for (const [select, kind] of [[this.camera, 'videoinput'], [this.microphone, 'audioinput']]) {
      if (!select) continue;
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
      this.changed(await this.open());
    } catch (err) {
      this.failed(err.message);
    }
  }

  ended(track) {
    if (!this.media?.getTracks().includes(track)) return;
    this.lost((track.kind === 'video' ? 'The picture' : 'The microphone') + ' has stopped at its source. Choose another one.');
  }
}

// Screen is a screen, window or tab, with the sound that comes along and, if wanted, what is said about it. lost() tells that the
// person has ended it with the browser's own button.
export class Screen {
  constructor({ microphone }) {
    this.microphone = microphone; // a checkbox
    this.lost = () => {};
  }

  async open() {
    let media;
    try {
      media = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 30 } }, audio: true });
    } catch (err) {
      throw plainly(err.name === 'NotAllowedError' && !/system/i.test(err.message)
        ? 'Nothing was chosen to share. Press the button again and choose a screen, a window or a tab.'
        : 'The screen could not be shared: ' + (/system/i.test(err.message) ? 'allow this browser to record it in the settings of the operating system.' : err.message), err.name);
    }
    this.release();
    const [picture] = media.getVideoTracks();
    picture.contentHint = 'detail';
    picture.addEventListener('ended', () => this.lost());
    this.parts = [...media.getTracks()];
    this.media = new MediaStream([picture]);
    let voice = null;
    if (this.microphone.checked) {
      voice = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, noiseSuppression: true } }).catch(() => null); // then without
      this.parts.push(...(voice?.getTracks() || []));
    }
    const sounds = [...media.getAudioTracks(), ...(voice?.getAudioTracks() || [])];
    if (sounds.length > 0) this.media.addTrack(sounds.length > 1 ? this.mix(sounds) : sounds[0]);
    return this.media;
  }

  // mix makes one track of several.
  mix(tracks) {
    const context = this.context = new AudioContext();
    const out = context.createMediaStreamDestination();
    for (const t of tracks) context.createMediaStreamSource(new MediaStream([t])).connect(out);
    return out.stream.getAudioTracks()[0];
  }

  release() {
    this.parts?.forEach((t) => t.stop());
    this.context?.close();
    this.parts = this.context = this.media = null;
  }
}
