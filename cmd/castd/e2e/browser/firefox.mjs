// Drives Firefox ESR by WebDriver BiDi for firefox_test.go, in the way that driver.mjs drives Chromium: a command a line.

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const places = ['/usr/bin/firefox-esr', '/usr/bin/firefox', '/snap/bin/firefox'];
const pages = new Map();
const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
let firefox;

// browser starts Firefox once. It has a fake camera and a fake microphone, which it gives without asking, and plays sound before
// any click; all else is as Debian ships it.
function browser() {
  const executablePath = process.env.FIREFOX || places.find((p) => existsSync(p));
  if (!executablePath) throw new Error('no Firefox was found; set FIREFOX to its path');
  firefox ||= createRequire(import.meta.url)('puppeteer-core').launch({
    browser: 'firefox', executablePath, headless: true, acceptInsecureCerts: true,
    extraPrefsFirefox: { 'media.navigator.streams.fake': true, 'media.navigator.permission.disabled': true, 'media.autoplay.default': 0 },
  });
  return firefox;
}

// remember keeps a page's connections where a test finds them.
function remember() {
  window.connections = [];
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...args) {
      super(...args);
      window.connections.push(this);
    }
  };
}

async function open(url) {
  const page = await (await browser()).newPage();
  page.troubles = [];
  page.on('pageerror', (e) => page.troubles.push(String(e)));
  await page.evaluateOnNewDocument(remember);
  await page.goto(url);
  return page;
}

const said = (page, id) => page.evaluate((i) => {
  const e = document.getElementById(i);
  return { state: e.dataset.state || '', text: e.innerText.trim(), visible: e.checkVisibility() };
}, id);

async function until(page, id, state, ms) {
  const end = Date.now() + ms;
  for (;;) {
    const now = await said(page, id);
    if (now.state === state) return now;
    if (Date.now() > end) throw new Error(`#${id} is not ${state} after ${ms} ms but: ${JSON.stringify(now)} ${page.troubles}`);
    await sleep(50);
  }
}

async function numbers(page) {
  return page.evaluate(async () => {
    const player = document.getElementById('player');
    const found = {
      at: performance.now(), frames: 0, width: player.videoWidth, paused: player.paused, muted: player.muted,
      connections: window.connections.length, packets: {},
    };
    for (const pc of window.connections) {
      if (pc.connectionState === 'closed') continue;
      for (const s of (await pc.getStats()).values()) {
        if (s.type !== 'inbound-rtp') continue;
        found.packets[s.kind] = s.packetsReceived;
        found.frames += s.framesDecoded || 0;
      }
    }
    return found;
  });
}

const commands = {
  async hello() { return { browser: await (await browser()).version() }; },

  async publish({ as, url }) {
    const page = await open(url);
    pages.set(as, page);
    await page.waitForSelector('#go-live', { visible: true, timeout: 20000 });
    await page.click('#go-live');
    return until(page, 'live-state', 'live', 20000);
  },

  async watch({ as, url }) {
    const page = await open(url);
    pages.set(as, page);
    return until(page, 'state', 'live', 20000);
  },

  async flow({ as, seconds }) {
    const page = pages.get(as);
    const a = await numbers(page);
    await sleep(1000 * seconds);
    const b = await numbers(page);
    const took = (b.at - a.at) / 1000;
    return {
      fps: (b.frames - a.frames) / took, width: b.width, samples: ((b.packets.audio || 0) - (a.packets.audio || 0)) * 960, paused: b.paused, muted: b.muted,
      connections: b.connections, troubles: page.troubles,
    };
  },

  async leave({ as }) {
    await pages.get(as).close();
    pages.delete(as);
    return {};
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    const command = JSON.parse(line);
    if (!Object.hasOwn(commands, command.do)) throw new Error('no command ' + command.do);
    answer = await commands[command.do](command);
  } catch (err) {
    answer = { error: String(err.message || err) };
  }
  process.stdout.write(JSON.stringify(answer) + '\n');
}
await firefox?.then((b) => b.close(), () => {});
