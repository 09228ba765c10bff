// Runs in a page before its own scripts: sees its connections, offers, pictures and sound. It changes nothing of them.
// All times are of performance.now(), in milliseconds.
(() => {
  const probe = window.probe = {
    connections: [],
    offers: [], answers: [], // times of POST /whep/ and of its answer
    connects: [], // times at which connections were there
    firsts: [], // times at which the first picture after an offer was shown
    shown: [], // times at which the last pictures were shown
    pictures: [], // {at, clock}: the clock of clock.js that is shown at a time
    tones: [], // times at which the sound of clock.js began a second
    chunks: 0, loudest: 0, // of the sound
  };

  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...args) {
      super(...args);
      probe.connections.push(this);
      this.addEventListener('connectionstatechange', () => { if (this.connectionState === 'connected') probe.connects.push(performance.now()); });
      this.addEventListener('track', (e) => { if (e.track.kind === 'audio') listen(e.track); });
    }
  };

  const { fetch } = window;
  window.fetch = async (resource, options) => {
    if (options?.method !== 'POST' || !String(resource).startsWith('/whep/')) return fetch(resource, options);
    probe.offers.push(performance.now());
    const response = await fetch(resource, options);
    probe.answers.push(performance.now());
    return response;
  };

  // listen takes the moments at which tones begin. The samples come as the player pulls them out of the jitter buffer, stamped
  // with a clock of the browser's; the least difference to ours is the one that waited least for this code. The output of a
  // machine without sound hardware has no delay of its own.
  async function listen(track) {
    const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
    let offset = Infinity, silence = 0;
    let samples = new Float32Array(0);
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      offset = Math.min(offset, performance.now() - value.timestamp / 1000);
      if (samples.length < value.numberOfFrames) samples = new Float32Array(value.numberOfFrames);
      value.copyTo(samples, { planeIndex: 0, format: 'f32-planar' });
      probe.chunks++;
      for (let i = 0; i < value.numberOfFrames; i++) {
        const level = Math.abs(samples[i]);
        if (level > probe.loudest) probe.loudest = level;
        if (level < 0.05) {
          silence++;
          continue;
        }
        if (silence > 0.3 * value.sampleRate) probe.tones.push(value.timestamp / 1000 + offset + 1000 * i / value.sampleRate);
        silence = 0;
      }
      value.close();
    }
  }

  const bits = 24, block = 24, left = 32, top = 320;
  const sum = (ms) => (ms + (ms >> 4) + (ms >> 8) + (ms >> 12) + (ms >> 16)) & 15;

  // look reads the clock of each picture. The row is shrunk so that a block becomes 4 pixels wide; the middle ones count.
  function look(player) {
    const canvas = document.createElement('canvas');
    canvas.width = bits * 4;
    canvas.height = 4;
    const g = canvas.getContext('2d', { alpha: false, willReadFrequently: true });
    const next = (now, shown) => {
      player.requestVideoFrameCallback(next);
      if (probe.firsts.length < probe.offers.length) probe.firsts.push(now);
      probe.shown.push(now);
      if (probe.shown.length > 600) probe.shown.splice(0, 300);
      const scale = player.videoWidth / 640;
      g.drawImage(player, left * scale, top * scale, bits * block * scale, block * scale, 0, 0, canvas.width, canvas.height);
      const { data } = g.getImageData(0, 0, canvas.width, canvas.height);
      let word = 0;
      for (let i = 0; i < bits; i++) {
        let light = 0;
        for (const y of [1, 2]) for (const x of [1, 2]) light += data[4 * (y * canvas.width + 4 * i + x)];
        word = word << 1 | (light > 512 ? 1 : 0);
      }
      const clock = word >> 4;
      if (sum(clock) === (word & 15) && clock > 0) probe.pictures.push({ at: shown.expectedDisplayTime, clock });
    };
    player.requestVideoFrameCallback(next);
  }
  addEventListener('DOMContentLoaded', () => { if (document.getElementById('player')) look(document.getElementById('player')); });

  // stats returns the numbers of the newest connection that the tests look at.
  probe.stats = async () => {
    const pc = probe.connections.at(-1);
    const found = { at: performance.now(), connections: probe.connections.length, offers: probe.offers.length, state: pc?.connectionState || '' };
    if (!pc) return found;
    for (const s of (await pc.getStats()).values()) {
      if (s.type === 'inbound-rtp') found[s.kind] = s;
    }
    return found;
  };
})();
