// The pictures of a call: one tile for each section in which somebody can be seen, and one's own camera.

import { make } from './callers.js';

// Lines of a picture that are enough for a small tile.
const small = 180;

const troubles = {
  NotAllowedError: 'The browser was not allowed to use the camera. Allow it beside the address (press the symbol to its left), and try again.',
  NotFoundError: 'No camera was found. Plug one in, and try again.',
  NotReadableError: 'The camera is in use by another program or does not answer. Close other programs that use it, and try again.',
  OverconstrainedError: 'That camera has gone. Choose another one.',
};

// cameraMessage says what to do where the camera could not be opened.
export const cameraMessage = (err) => troubles[err.name] || 'The camera could not be opened: ' + err.message;

// Camera is what is sent of oneself, as chosen. ended() tells that it has gone.
export class Camera {
  constructor({ select, ended }) {
    Object.assign(this, { select, ended });
    this.track = null;
  }

  async open() {
    const device = this.select.value;
    const video = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 }, ...(device && { deviceId: { exact: device } }) };
    const media = await navigator.mediaDevices.getUserMedia({ video });
    this.close();
    const [track] = media.getVideoTracks();
    this.track = track;
    track.addEventListener('ended', () => { if (this.track === track) this.ended(); });
    await this.list();
    return track;
  }

  close() {
    this.track?.stop();
    this.track = null;
  }

  // list fills the choice of cameras, with names once the browser gives them.
  async list() {
    const all = await navigator.mediaDevices.enumerateDevices?.().catch(() => []) || [];
    const cameras = all.filter((d) => d.kind === 'videoinput' && d.deviceId);
    const chosen = this.select.value;
    this.select.replaceChildren(new Option('Camera', ''), ...cameras.map((d) => new Option(d.label, d.deviceId)));
    if (cameras.some((d) => d.deviceId === chosen)) this.select.value = chosen;
    this.select.hidden = cameras.length < 2 || !this.track;
  }
}

// Pictures shows who is in which section. want(sections) tells the peer whom to pin, and how large each is.
export class Pictures {
  constructor(want) {
    this.want = want;
    this.tiles = new Map(); // by a=mid
    this.pinned = ''; // participant
    this.own = make('video', { id: 'call-preview', playsinline: '', autoplay: '', muted: '' });
    this.own.muted = true;
    this.mine = make('div', { class: 'tile own' }, this.own, make('span', { class: 'name' }, 'You'));
    this.part = make('div', { id: 'call-pictures', class: 'tiles', role: 'group', 'aria-label': 'Pictures' }, this.mine);
    this.preview(null);
    this.show(null);
  }

  // preview shows one's own camera, or with null none.
  preview(track) {
    this.mine.hidden = !track;
    this.own.srcObject = track && new MediaStream([track]);
    if (track) this.own.play().catch(() => {});
    this.part.hidden = !track && ![...this.tiles.values()].some((t) => t.carries);
  }

  // take notes the picture that a section has for good.
  take(mid, track) {
    const tile = this.tiles.get(mid) || this.tile(mid);
    tile.video.srcObject = new MediaStream([track]);
    tile.video.play().catch(() => {});
  }

  tile(mid) {
    const video = make('video', { playsinline: '', autoplay: '', muted: '' });
    video.muted = true;
    const name = make('span', { class: 'name' });
    const part = make('button', { type: 'button', class: 'tile', 'data-mid': mid, 'aria-pressed': 'false' }, video, name);
    const tile = { part, video, name, carries: '' };
    part.hidden = true;
    part.addEventListener('click', () => {
      this.pinned = this.pinned === tile.carries ? '' : tile.carries;
      this.show(this.state);
    });
    this.tiles.set(mid, tile);
    this.part.append(part);
    return tile;
  }

  // show puts names where the state says who is, and makes large who is pinned or speaks. null: there is no call.
  show(state) {
    this.state = state;
    if (!state) { // the pictures of a connection come before its first state: they stay in their tiles
      for (const tile of this.tiles.values()) {
        tile.carries = '';
        tile.part.hidden = true;
      }
      this.pinned = this.wanted = '';
      this.part.hidden = this.mine.hidden;
      return;
    }
    const sections = state.sections.filter((s) => s.kind === 'video');
    const shown = sections.filter((s) => s.carries);
    if (!shown.some((s) => s.carries === this.pinned)) this.pinned = '';
    const large = [this.pinned, state.dominant, this.large, shown[0]?.carries].find((p) => p && shown.some((s) => s.carries === p)) || '';
    this.large = large;
    for (const s of sections) {
      const tile = this.tiles.get(s.mid) || this.tile(s.mid);
      tile.carries = s.carries;
      const who = state.participants.find((p) => p.participant === s.carries);
      tile.name.textContent = who?.name || 'Somebody';
      tile.part.hidden = !s.carries;
      tile.part.dataset.participant = s.carries;
      tile.part.classList.toggle('large', s.carries === large && large !== '');
      tile.part.classList.toggle('talking', Boolean(who?.talking));
      tile.part.setAttribute('aria-pressed', String(s.carries !== '' && s.carries === this.pinned));
      tile.part.title = s.carries === this.pinned ? 'Do not keep large' : 'Keep large';
    }
    this.part.hidden = this.mine.hidden && shown.length === 0;
    const want = sections.map((s) => ({
      mid: s.mid, participant: s.carries && s.carries === this.pinned ? s.carries : '', height: s.carries && s.carries === large ? 0 : small,
    }));
    const words = JSON.stringify(want);
    if (words !== this.wanted) {
      this.wanted = words;
      this.want(want);
    }
  }
}
