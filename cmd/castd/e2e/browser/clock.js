// Runs in a page before its own scripts: gives it, instead of a camera and a microphone, a picture and a sound that tell the
// time. The clock is that of the sound: a tone of 100 ms begins with each of its seconds, and each picture shows the clock's
// milliseconds when it was painted as a row of 24 black or white blocks (20 bits, the highest first, then their sum modulo 16
// by halves of octets). probe.js reads both. Everything above the row is for people.
(() => {
  const width = 640, height = 360, rate = 25;
  const bits = 24, block = 24, left = 32, top = 320;

  const sum = (ms) => (ms + (ms >> 4) + (ms >> 8) + (ms >> 12) + (ms >> 16)) & 15;

  function paint(g, ms) {
    const second = (ms % 1000) / 1000;
    const sky = g.createLinearGradient(0, 0, width, height);
    sky.addColorStop(0, '#2b2a6b');
    sky.addColorStop(1, '#c2557a');
    g.fillStyle = ms % 1000 < 120 ? '#fff' : sky;
    g.fillRect(0, 0, width, top);
    g.fillStyle = '#ffd27a';
    g.beginPath();
    g.arc(80 + second * 480, 190 - 120 * Math.sin(second * Math.PI), 26, 0, 7);
    g.fill();
    g.fillStyle = ms % 1000 < 120 ? '#222' : '#fff';
    g.font = '700 64px sans-serif';
    g.fillText((ms / 1000).toFixed(2), 220, 260);
    g.fillStyle = '#777';
    g.fillRect(0, top - 8, width, height - top + 8);
    const word = (ms & 0xFFFFF) << 4 | sum(ms & 0xFFFFF);
    for (let i = 0; i < bits; i++) {
      g.fillStyle = word >> (bits - 1 - i) & 1 ? '#fff' : '#000';
      g.fillRect(left + i * block, top, block, block);
    }
  }

  async function open() {
    const audio = new AudioContext({ sampleRate: 48000 });
    await audio.resume();
    const second = audio.createBuffer(1, 48000, 48000);
    const samples = second.getChannelData(0);
    for (let i = 0; i < 4800; i++) samples[i] = 0.5 * Math.sin(2 * Math.PI * 1000 * i / 48000);
    const loop = new AudioBufferSourceNode(audio, { buffer: second, loop: true });
    const out = audio.createMediaStreamDestination();
    loop.connect(out);
    const begin = audio.currentTime + 0.2;
    loop.start(begin);

    const canvas = document.createElement('canvas');
    Object.assign(canvas, { width, height });
    const g = canvas.getContext('2d', { alpha: false });
    const [track] = canvas.captureStream(0).getVideoTracks();
    setInterval(() => {
      paint(g, Math.max(0, Math.round(1000 * (audio.currentTime - begin))));
      track.requestFrame();
    }, 1000 / rate);
    return new MediaStream([track, ...out.stream.getAudioTracks()]);
  }

  navigator.mediaDevices.getUserMedia = open;
})();
