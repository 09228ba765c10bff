// Drives browsers for browser_test.go: each line of standard input is a command {"do":NAME,...}, each line of standard output
// the answer to it: what the command found, or {"error":...}. The end of standard input closes all browsers.
//
// Try one by hand: echo '{"do":"watch","as":"v","url":"http://127.0.0.1:8470/r/lobby#token=..."}' | node driver.mjs

import { createInterface } from 'node:readline';
import { findChromium, launch, open, said, until } from './chromium.mjs';
import { behind, lipSync, median, round } from './measure.mjs';

const browsers = new Map();
const pages = new Map();
const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const stats = (page) => page.evaluate(() => probe.stats());

const foreign = 'castd.test'; // a name of this machine that no browser takes for it

// browser returns the browser of that name: publisher, viewer, or stranger, who gets neither devices nor a trusted address.
async function browser(name) {
  if (!browsers.has(name)) browsers.set(name, launch(name === 'stranger' ? { refuse: true, map: [foreign] } : {}));
  return browsers.get(name);
}

const commands = {
  // hello tells whether there is what the tests need.
  async hello() {
    findChromium();
    const b = await browser('viewer');
    return { chromium: b.version() };
  },

  // publish goes live by the page: with the browser's fake devices, or with those of a script.
  async publish({ as, url, source, name }) {
    const page = await open(await browser('publisher'), url, { scripts: source ? [source] : [] });
    pages.set(as, page);
    await page.waitForSelector('#go-live', { timeout: 15000 });
    if (name) await page.fill('#who', name);
    await page.click('#go-live');
    return until(page, 'live-state', 'live', 15000);
  },

  async unpublish({ as }) {
    const page = pages.get(as);
    await page.click('#stop-live');
    const answer = await until(page, 'live-state', 'idle', 5000);
    await this.leave({ as });
    return answer;
  },

  // watch opens a page and waits until it shows the room.
  async watch({ as, url, state = 'live' }) {
    const page = await open(await browser('viewer'), url, { scripts: ['probe.js'] });
    pages.set(as, page);
    return until(page, 'state', state, 20000);
  },

  async leave({ as }) {
    await pages.get(as).context().close();
    pages.delete(as);
    return {};
  },

  async state({ as, id = 'state', state, ms = 10000 }) {
    return state ? until(pages.get(as), id, state, ms) : said(pages.get(as), id);
  },

  async stats({ as }) { return stats(pages.get(as)); },

  // flow looks for some seconds at what a viewer gets.
  async flow({ as, seconds }) {
    const page = pages.get(as);
    const a = await stats(page);
    await sleep(1000 * seconds);
    const b = await stats(page);
    const took = (b.at - a.at) / 1000;
    const { paused, muted, currentTime } = await page.$eval('#player', (p) => ({ paused: p.paused, muted: p.muted, currentTime: p.currentTime }));
    return {
      fps: round((b.video.framesDecoded - a.video.framesDecoded) / took), width: b.video.frameWidth, height: b.video.frameHeight,
      energy: b.audio.totalAudioEnergy - a.audio.totalAudioEnergy, level: b.audio.audioLevel, samples: b.audio.totalSamplesReceived - a.audio.totalSamplesReceived,
      concealed: b.audio.concealedSamples - a.audio.concealedSamples, seconds: round(took), paused, muted, currentTime,
      lost: b.video.packetsLost + b.audio.packetsLost, freezes: b.video.freezeCount - a.video.freezeCount,
      frozen: round(1000 * (b.video.totalFreezesDuration - a.video.totalFreezesDuration)), state: b.state, connections: b.connections, offers: b.offers,
      troubles: page.troubles,
    };
  },

  // lipsync measures for some seconds how far sound and picture are apart.
  async lipsync({ as, seconds }) {
    const page = pages.get(as);
    const reckoned = [];
    const end = Date.now() + 1000 * seconds;
    await page.evaluate(() => { probe.tones.length = probe.pictures.length = 0; });
    while (Date.now() < end) {
      const { audio, video } = await stats(page);
      // Both are the sender's clock of what is being played at this instant; each needs a sender report.
      if (audio?.estimatedPlayoutTimestamp && video?.estimatedPlayoutTimestamp) reckoned.push(audio.estimatedPlayoutTimestamp - video.estimatedPlayoutTimestamp);
      await sleep(250);
    }
    const { tones, pictures } = await page.evaluate(() => ({ tones: probe.tones, pictures: probe.pictures }));
    return { ...lipSync(tones, pictures), reckoned: median(reckoned), reckonedSamples: reckoned.length };
  },

  // home opens the first page of a peer, which plays nothing itself.
  async home({ as, url }) {
    pages.set(as, await open(await browser('viewer'), url, { scripts: ['probe.js'] }));
    return {};
  },

  // early opens a session in such a page and tells how many packets of sound came at once, how much sound waits in the player a
  // little later, and how much of it the player wants there, in milliseconds.
  async early({ as, room }) {
    const page = pages.get(as);
    const answer = await page.evaluate(async (name) => {
      const { Exchange } = await import('/web/exchange.js');
      const x = new Exchange('/whep/' + name);
      const player = document.createElement('video');
      const media = new MediaStream();
      x.pc.addEventListener('track', (e) => {
        media.addTrack(e.track);
        player.srcObject = media;
        player.play().catch(() => {});
      });
      for (const kind of ['audio', 'video']) x.pc.addTransceiver(kind, { direction: 'recvonly' });
      await x.open();
      const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
      let first, a, b;
      do {
        await pause(20);
        first = (await probe.stats()).audio;
      } while (!first?.packetsReceived && performance.now() - probe.offers[0] < 10000);
      await pause(1500);
      a = (await probe.stats()).audio;
      await pause(500);
      b = (await probe.stats()).audio;
      x.close();
      const mean = (key) => 1000 * (b[key] - a[key]) / (b.jitterBufferEmittedCount - a.jitterBufferEmittedCount);
      return { burst: first.packetsReceived, buffered: mean('jitterBufferDelay'), wanted: mean('jitterBufferTargetDelay') };
    }, room);
    await this.leave({ as });
    return answer;
  },

  // joins opens viewers beside one that is watching, and measures how soon each has a picture, and how old that is.
  async joins({ url, beside, count }) {
    const answer = { answer: [], connected: [], first: [], behind: [] };
    const old = pages.get(beside);
    for (let i = 0; i < count; i++) {
      const page = await open(await browser('viewer'), url, { scripts: ['probe.js'] });
      await page.waitForFunction(() => probe.firsts.length > 0, null, { timeout: 15000, polling: 100 });
      await sleep(2500);
      const take = (p) => p.evaluate(() => ({ origin: performance.timeOrigin, offers: probe.offers, answers: probe.answers, connects: probe.connects, firsts: probe.firsts, pictures: probe.pictures.slice(-400) }));
      const [now, before] = [await take(page), await take(old)];
      answer.answer.push(round(now.answers[0] - now.offers[0]));
      answer.connected.push(round(now.connects[0] - now.offers[0]));
      answer.first.push(round(now.firsts[0] - now.offers[0]));
      answer.behind.push(behind(now, before, now.firsts[0] + 1000, now.firsts[0] + 2000));
      await page.context().close();
    }
    return answer;
  },

  // shot saves what a page looks like with the pointer on the picture.
  async shot({ url, file, width, height, dark, full, wait = 1500 }) {
    const page = await open(await browser('viewer'), url, { width, height, dark });
    try {
      await until(page, 'state', 'live', 15000);
      await page.hover('#player');
      await sleep(wait);
      await page.screenshot({ path: file, fullPage: full });
      return await page.evaluate(() => ({ wide: document.documentElement.scrollWidth > innerWidth }));
    } finally {
      await page.context().close();
    }
  },

  // visit opens a page, presses a button, and returns what element say then says: as soon as it has the state, or is visible.
  async visit({ url, as = 'viewer', click, say, state }) {
    const page = await open(await browser(as), url.replace('{foreign}', foreign));
    try {
      if (click) await page.click('#' + click, { timeout: 15000 });
      if (state) return await until(page, say, state, 15000);
      await page.waitForFunction((i) => document.getElementById(i).checkVisibility(), say, { timeout: 15000 });
      return await said(page, say);
    } finally {
      await page.context().close();
    }
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
for (const b of browsers.values()) await b.then((x) => x.close(), () => {});
