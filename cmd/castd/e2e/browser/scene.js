// Runs in a page before its own scripts: gives it, instead of a camera and a microphone, a painted evening by a lake and a chord.
// The picture has the shape of the stage of a page that is 1280 wide and 800 high.
(() => {
  const width = 1184, height = 608, shore = 400;

  // ridge paints hills whose height is a sum of waves, the same for the same seed.
  function ridge(g, base, size, seed, colour) {
    g.fillStyle = colour;
    g.beginPath();
    g.moveTo(0, shore);
    for (let x = 0; x <= width; x += 4) {
      const y = Math.sin(x / 210 + seed) + 0.55 * Math.sin(x / 87 + 2.3 * seed) + 0.22 * Math.sin(x / 31 + 5 * seed);
      g.lineTo(x, base - size * y);
    }
    g.lineTo(width, shore);
    g.fill();
  }

  function wash(g, from, to, colours) {
    const w = g.createLinearGradient(0, from, 0, to);
    colours.forEach((c, i) => w.addColorStop(i / (colours.length - 1), c));
    g.fillStyle = w;
    g.fillRect(0, from, width, to - from);
  }

  function paint(g, t) {
    wash(g, 0, shore, ['#1d2359', '#51397f', '#c3537c', '#f79a63', '#ffd58a']);
    g.fillStyle = '#fff';
    for (let i = 0; i < 40; i++) {
      g.globalAlpha = 0.35 + 0.3 * Math.sin(t * 1.5 + i);
      g.fillRect((i * 263) % width, (i * 97) % 130, 2, 2);
    }
    g.globalAlpha = 1;
    g.fillStyle = '#fff0c2';
    g.beginPath();
    g.arc(830, 318, 54, 0, 7);
    g.fill();
    ridge(g, 300, 34, 1.2, '#8d4a7d');
    ridge(g, 345, 30, 4.1, '#5b3a73');
    ridge(g, 385, 22, 2.6, '#332a5c');
    wash(g, shore, height, ['#f0a070', '#a5527c', '#3d2f6b', '#191b45']);
    g.fillStyle = '#ffe3a6';
    for (let i = 0; i < 16; i++) {
      const y = shore + 6 + i * 12, w = 96 - 3.5 * i + 16 * Math.sin(t * 2 + i * 1.7);
      g.globalAlpha = 0.75 - i * 0.04;
      g.fillRect(830 - w / 2 + 6 * Math.sin(t + i), y, w, 4);
    }
    g.globalAlpha = 1;
    const x = 330 + 8 * Math.sin(t / 2), y = 470 + 2 * Math.sin(t * 1.3);
    g.fillStyle = '#17173a';
    g.beginPath();
    g.moveTo(x - 80, y);
    g.quadraticCurveTo(x, y + 44, x + 90, y - 4);
    g.closePath();
    g.fill();
    g.fillRect(x - 2, y - 150, 4, 152);
    g.fillStyle = '#f7ead7';
    g.beginPath();
    g.moveTo(x + 6, y - 146);
    g.quadraticCurveTo(x + 74, y - 74, x + 72, y - 14);
    g.lineTo(x + 6, y - 14);
    g.fill();
    g.fillStyle = '#f0b37e';
    g.beginPath();
    g.moveTo(x - 6, y - 130);
    g.quadraticCurveTo(x - 48, y - 66, x - 58, y - 14);
    g.lineTo(x - 6, y - 14);
    g.fill();
  }

  async function open() {
    const audio = new AudioContext();
    await audio.resume();
    const out = audio.createMediaStreamDestination();
    const volume = new GainNode(audio, { gain: 0.05 });
    volume.connect(out);
    for (const frequency of [220, 277.2, 329.6]) {
      const tone = new OscillatorNode(audio, { frequency });
      tone.connect(volume);
      tone.start();
    }
    const canvas = document.createElement('canvas');
    Object.assign(canvas, { width, height });
    const g = canvas.getContext('2d', { alpha: false });
    const [track] = canvas.captureStream(0).getVideoTracks();
    track.contentHint = 'detail'; // rather sharp than smooth
    const begin = performance.now();
    setInterval(() => {
      paint(g, (performance.now() - begin) / 1000);
      track.requestFrame();
    }, 100);
    return new MediaStream([track, ...out.stream.getAudioTracks()]);
  }

  navigator.mediaDevices.getUserMedia = open;
})();
