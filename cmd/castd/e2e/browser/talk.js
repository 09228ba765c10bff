// Runs in a page before its own scripts: gives it, instead of a microphone, a voice as window.settings says, and hears what the page
// plays. A voice is a tone of a frequency of its own, or { clicks: true }: a hum on which a high tone begins with each second, so that
// the way from mouth to ear can be timed. Ears are those of mixer/tonetest. Times are of the machine's clock, in milliseconds.
(() => {
  const rate = 48000;
  const kept = 4 * rate;
  const talk = window.talk = {
    said: [], heard: [], // times at which high tones began, at the microphone and at the ear
    opened: 0, connections: [],
  };
  const ring = new Float32Array(kept);
  let filled = 0; // samples heard since forget

  // follow calls take(samples, time) with each piece of a track as it passes. The least difference between the track's stamps and the
  // clock is that of the piece which waited least for this code.
  async function follow(track, take) {
    const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
    let offset = Infinity;
    let samples = new Float32Array(0);
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const stamp = value.timestamp / 1000;
      offset = Math.min(offset, performance.timeOrigin + performance.now() - stamp);
      if (samples.length !== value.numberOfFrames) samples = new Float32Array(value.numberOfFrames);
      value.copyTo(samples, { planeIndex: 0, format: 'f32-planar' });
      take(samples, stamp + offset, value.sampleRate);
      value.close();
    }
  }

  // onsets notes in times when high tones begin: a hum changes little from sample to sample.
  function onsets(times) {
    let before = 0, quiet = 0;
    return (samples, time, hertz) => {
      for (let i = 0; i < samples.length; i++) {
        const step = Math.abs(samples[i] - before);
        before = samples[i];
        if (step < 0.02) quiet++;
        else {
          if (quiet > 0.3 * hertz) times.push(time + 1000 * i / hertz);
          quiet = 0;
        }
      }
    };
  }

  async function open() {
    talk.opened++;
    const { frequency, amplitude = 0.1, clicks } = window.settings;
    const audio = new AudioContext({ sampleRate: rate });
    await audio.resume();
    const out = audio.createMediaStreamDestination();
    const volume = new GainNode(audio, { gain: amplitude });
    if (clicks) {
      const second = audio.createBuffer(1, rate, rate);
      second.getChannelData(0).set(Float32Array.from({ length: rate }, (_, i) => 0.05 * Math.sin(2 * Math.PI * 200 * i / rate) + (i < rate / 20 ? 0.3 * Math.sin(2 * Math.PI * 2000 * i / rate) : 0)));
      const loop = new AudioBufferSourceNode(audio, { buffer: second, loop: true });
      loop.connect(out);
      loop.start();
      follow(out.stream.getAudioTracks()[0].clone(), onsets(talk.said));
    } else {
      const tone = new OscillatorNode(audio, { frequency });
      tone.connect(volume).connect(out);
      tone.start();
    }
    return out.stream;
  }
  navigator.mediaDevices.getUserMedia = open;

  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...args) {
      super(...args);
      talk.connections.push(this);
      const noted = onsets(talk.heard);
      this.addEventListener('track', (e) => {
        if (e.track.kind !== 'audio') return;
        follow(e.track, (samples, time, hertz) => {
          noted(samples, time, hertz);
          if (hertz !== rate) throw new Error(`sound of ${hertz} Hz`);
          for (const x of samples) ring[filled++ % kept] = x;
        });
      });
    }
  };

  talk.forget = () => { filled = 0; };

  // last returns what was heard last, at most all that is kept.
  function last() {
    const length = Math.min(filled, kept);
    const pcm = new Float32Array(length);
    for (let i = 0; i < length; i++) pcm[i] = ring[(filled - length + i) % kept];
    return pcm;
  }

  // power of a tone in pcm, 1 for a sine of full scale (Goertzel's algorithm, with a window of Hann).
  function power(pcm, frequency) {
    const coefficient = 2 * Math.cos(2 * Math.PI * frequency / rate);
    let s1 = 0, s2 = 0, weight = 0;
    for (let i = 0; i < pcm.length; i++) {
      const window = 0.5 - 0.5 * Math.cos(2 * Math.PI * i / (pcm.length - 1));
      weight += window;
      [s1, s2] = [pcm[i] * window + coefficient * s1 - s2, s1];
    }
    return 4 * Math.max(s1 * s1 + s2 * s2 - coefficient * s1 * s2, 0) / (weight * weight);
  }
  const decibels = (x) => 10 * Math.log10(x + 1e-20);

  // level of a tone in the newest second, in dB below a sine of full scale: the mean of its power in each 100 ms, since players
  // stretch sound and so move its phase.
  talk.level = (frequency) => {
    const pcm = last();
    if (pcm.length < rate) return -200;
    let sum = 0;
    for (let i = 1; i <= 10; i++) sum += power(pcm.subarray(pcm.length - i * rate / 10, pcm.length - (i - 1) * rate / 10), frequency);
    return decibels(sum / 10);
  };

  // residue of a tone that should not be there: the least of all seconds that are kept. A seam in the tones of others, as late packets
  // make it, spreads over all frequencies, but only in its second.
  talk.residue = (frequency) => {
    const pcm = last();
    let least = Infinity;
    for (let end = pcm.length; end >= rate; end -= rate / 2) least = Math.min(least, decibels(power(pcm.subarray(end - rate, end), frequency)));
    return least;
  };
})();
