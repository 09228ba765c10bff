// Runs in a page after talk.js and before its own scripts: gives it, instead of a camera, a picture of one colour (settings.colour, three
// numbers) with a bar that moves, and tells what the page shows in its tiles.
(() => {
  const [width, height] = [640, 360];
  const film = window.film = { offers: 0 };
  const sound = navigator.mediaDevices.getUserMedia;
  navigator.mediaDevices.getUserMedia = async (wanted) => {
    if (!wanted.video) return sound(wanted);
    const canvas = Object.assign(document.createElement('canvas'), { width, height });
    const g = canvas.getContext('2d', { alpha: false });
    const [track] = canvas.captureStream(0).getVideoTracks();
    const begin = performance.now();
    const timer = setInterval(() => {
      if (track.readyState === 'ended') return clearInterval(timer);
      g.fillStyle = `rgb(${window.settings.colour})`;
      g.fillRect(0, 0, width, height);
      g.fillStyle = '#808080';
      g.fillRect(((performance.now() - begin) / 10) % width, 0, 20, height / 8);
      track.requestFrame();
    }, 66);
    return new MediaStream([track]);
  };

  window.RTCPeerConnection = class extends RTCPeerConnection {
    setLocalDescription(d) {
      film.offers++;
      return super.setLocalDescription(d);
    }

    createDataChannel(...args) {
      film.channel = super.createDataChannel(...args);
      return film.channel;
    }
  };

  // tiles tells of each section who is said to be there, and the colour in the middle of its picture.
  const spot = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d', { willReadFrequently: true });
  film.tiles = () => [...document.querySelectorAll('#call-pictures button')].filter((e) => e.checkVisibility()).map((e) => {
    const video = e.querySelector('video');
    let colour = [];
    if (video.videoWidth > 0) {
      spot.drawImage(video, video.videoWidth / 2, video.videoHeight * 0.7, 1, 1, 0, 0, 1, 1);
      colour = [...spot.getImageData(0, 0, 1, 1).data].slice(0, 3);
    }
    return {
      mid: e.dataset.mid, participant: e.dataset.participant, name: e.querySelector('.name').textContent, large: e.classList.contains('large'),
      pinned: e.ariaPressed === 'true', colour, lines: video.videoHeight,
    };
  });

  film.say = (message) => film.channel.send(JSON.stringify(message));

  // starved notes for so long how long at most the page got no time, in milliseconds.
  film.starved = (ms) => new Promise((resolve) => {
    const begin = performance.now();
    let last = begin, longest = 0;
    const timer = setInterval(() => {
      const now = performance.now();
      longest = Math.max(longest, now - last);
      last = now;
      if (now - begin < ms) return;
      clearInterval(timer);
      resolve(longest);
    }, 20);
  });

  // freezes notes for so long how long at most a section's picture stood still, in milliseconds.
  film.freezes = async (mid, ms) => {
    const video = document.querySelector(`#call-pictures button[data-mid="${mid}"] video`);
    let last = performance.now(), longest = 0;
    const end = last + ms;
    const note = () => {
      const now = performance.now();
      longest = Math.max(longest, now - last);
      last = now;
      if (now < end) video.requestVideoFrameCallback(note);
    };
    video.requestVideoFrameCallback(note);
    await new Promise((resolve) => { setTimeout(resolve, ms); });
    return Math.max(longest, performance.now() - last);
  };
})();
