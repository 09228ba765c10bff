// Drives browsers for browser_test.go: each line of standard input is a command {"do":NAME,...}, each line of standard output
// the answer to it: what the command found, or {"error":...}. The end of standard input closes all browsers.
//
// Try one by hand: echo '{"do":"watch","as":"v","url":"http://127.0.0.1:8470/r/lobby#token=..."}' | node driver.mjs

import { createInterface } from 'node:readline';
import { callCommands } from './calls.mjs';
import { findChromium, launch, open, processes, said, until } from './chromium.mjs';
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
  ...callCommands(browser, pages),

  // hello tells whether there is what the tests need.
  async hello() {
    findChromium();
    const b = await browser('viewer');
    return { browser: 'Chromium ' + b.version() };
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

  // again loads a publisher's page again and goes on.
  async again({ as }) {
    const page = pages.get(as);
    await page.reload();
    await page.waitForSelector('#go-live', { timeout: 15000 });
    const label = await page.textContent('#go-live');
    await page.click('#go-live');
    await until(page, 'live-state', 'live', 15000);
    return { label };
  },

  // share sends a screen beside what a publisher sends.
  async share({ as }) {
    await pages.get(as).click('#share-screen');
    return until(pages.get(as), 'screen-state', 'live', 15000);
  },

  async press({ as, selector }) {
    await pages.get(as).click(selector, { timeout: 10000 });
    return {};
  },

  // slots tells what a viewer can choose, and which of it is chosen.
  async slots({ as, count }) {
    const page = pages.get(as);
    await page.waitForFunction((n) => document.querySelectorAll('#slots button').length === n && (n < 3 || document.getElementById('choice').checkVisibility()), count, { timeout: 15000, polling: 100 });
    return page.$$eval('#slots button', (all) => ({ labels: all.map((b) => b.textContent), slots: all.map((b) => b.dataset.slot), chosen: all.findIndex((b) => b.ariaPressed === 'true') }));
  },

  // shape waits until the sides of a viewer's picture have that ratio, or another one where not is set. Browsers send smaller
  // pictures than they could when it suits them, but always of one shape.
  async shape({ as, ratio, not = false }) {
    await pages.get(as).waitForFunction(([r, n]) => {
      const { videoWidth: w, videoHeight: h } = document.getElementById('player');
      return w > 0 && (Math.abs(w / h - r) < 0.05) !== n;
    }, [ratio, not], { timeout: 15000, polling: 50 });
    return {};
  },

  // crash ends a browser as kill -9 does.
  async crash({ as }) {
    const b = await browser(as);
    const pids = await processes(b);
    browsers.delete(as);
    for (const p of pids) process.kill(p, 'SIGKILL');
    return {};
  },

  // sleep stops a browser for some seconds, as a machine does that sleeps.
  async sleep({ as, seconds }) {
    const pids = await processes(await browser(as));
    for (const p of pids) process.kill(p, 'SIGSTOP');
    await sleep(1000 * seconds);
    for (const p of pids) process.kill(p, 'SIGCONT');
    return {};
  },

  // back waits until a viewer's pictures have moved on, more than least of them within two seconds, and tells how long that took,
  // and how long the page said "live" while they did not move.
  async back({ as, ms, least = 20 }) {
    const page = pages.get(as);
    return page.evaluate(async ([limit, few]) => {
      const begin = performance.now();
      const moved = [];
      const player = document.getElementById('player');
      const next = () => {
        moved.push(performance.now());
        player.requestVideoFrameCallback(next);
      };
      player.requestVideoFrameCallback(next);
      let silent = 0, last = begin;
      for (;;) {
        await new Promise((resolve) => { setTimeout(resolve, 50); });
        const now = performance.now();
        const flowing = moved.filter((at) => now - at < 2000).length;
        if (flowing > few) return { ms: now - begin, silent };
        if (flowing === 0 && document.getElementById('state').dataset.state === 'live') silent += now - last;
        last = now;
        if (now - begin > limit) throw new Error(`no picture after ${limit} ms, and the page says: ${document.getElementById('state-text').textContent}`);
      }
    }, [ms, least]);
  },

  // weigh loads the page on a phone, and tells how many octets came until it plays, from which hosts, and what the policy stopped.
  async weigh({ url }) {
    const found = { files: 0, all: 0, requests: 0, hosts: [], names: {} };
    const requests = new Map();
    const page = await open(await browser('viewer'), url, {
      width: 320, height: 640,
      async before(p) {
        const session = await p.context().newCDPSession(p);
        await session.send('Network.enable');
        session.on('Network.responseReceived', (e) => requests.set(e.requestId, e.response.url));
        session.on('Network.dataReceived', () => {});
        session.on('Network.loadingFinished', (e) => {
          const at = new URL(requests.get(e.requestId) || 'unknown:');
          found.requests++;
          found.all += e.encodedDataLength;
          if (at.pathname.startsWith('/web/') || at.pathname.startsWith('/r/')) {
            found.files += e.encodedDataLength;
            found.names[at.pathname] = e.encodedDataLength;
          }
          if (at.protocol !== 'data:' && !found.hosts.includes(at.host)) found.hosts.push(at.host);
        });
        p.on('console', (m) => { if (m.type() === 'error' && !m.text().includes('status of')) p.troubles.push(m.text()); });
      },
    });
    await until(page, 'state', 'live', 20000);
    await sleep(1500);
    const layout = await page.evaluate(() => ({
      wide: document.documentElement.scrollWidth > innerWidth,
      small: [...document.querySelectorAll('button, select, input, a, summary')].filter((e) => e.checkVisibility() && e.type !== 'checkbox' && e.getBoundingClientRect().height < 28).map((e) => e.id || e.textContent),
      nameless: [...document.querySelectorAll('button, select, input, meter')].filter((e) => e.checkVisibility() && !e.labels?.length && !e.ariaLabel && !e.textContent.trim()).map((e) => e.id),
    }));
    const answer = { ...found, ...layout, troubles: page.troubles };
    await page.context().close();
    return answer;
  },

  // tree waits until the drawing of the tree has so many peers that stand still, each at a place of its own, and tells what it shows.
  async tree({ as, peers, ms = 20000 }) {
    const page = pages.get(as);
    const look = () => page.evaluate(() => {
      const all = (s) => [...document.querySelectorAll('#tree-drawing ' + s)];
      return {
        places: all('.peer:not(.gone)').map((g) => g.getAttribute('transform')), lines: all('.edge:not(.backup):not(.gone)').filter((e) => e.getAttribute('d')).length,
        nameless: all('.peer').filter((g) => !g.ariaLabel || !g.getAttribute('role')).length, marked: all('.moved').length,
        items: [...document.querySelectorAll('#tree li')].map((e) => e.textContent), hint: document.getElementById('tree-hint').textContent,
        news: document.getElementById('tree-news').textContent, wide: document.documentElement.scrollWidth > innerWidth,
      };
    });
    const end = Date.now() + ms;
    for (let before = ''; ; await sleep(250)) {
      const found = await look();
      const still = before === found.places.join();
      before = found.places.join();
      if (still && found.places.length === peers && new Set(found.places).size === peers) return { ...found, troubles: page.troubles };
      if (Date.now() > end) throw new Error(`not ${peers} peers in the drawing: ${JSON.stringify(found)}`);
    }
  },

  // key presses a key at an element.
  async key({ as, selector, key }) {
    await pages.get(as).focus(selector);
    await pages.get(as).keyboard.press(key);
    return { expanded: await pages.get(as).getAttribute(selector, 'aria-expanded') };
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

  // hurt tells what a viewer has suffered so far, by its own statistics, and the longest time between two pictures that it has
  // shown in the last seconds, all in milliseconds.
  async hurt({ as, seconds }) {
    const page = pages.get(as);
    const { video, audio } = await stats(page);
    return {
      freezes: video.freezeCount, frozen: round(1000 * video.totalFreezesDuration), pictures: video.framesDecoded,
      concealed: round(1000 * (audio.concealedSamples - audio.silentConcealedSamples) / 48000), silent: round(audio.silentConcealedSamples / 48),
      longest: await page.evaluate((ms) => {
        const now = performance.now();
        const { shown } = probe;
        return shown.reduce((most, at, i) => (i && now - at < ms ? Math.max(most, at - shown[i - 1]) : most), now - shown.at(-1));
      }, 1000 * seconds),
    };
  },

  // flow looks for some seconds at what a viewer gets.
  async flow({ as, seconds }) {
    const page = pages.get(as);
    let a = await stats(page); // which has pictures and sound from the first packet of each on
    for (const end = Date.now() + 10_000; !(a.video && a.audio) && Date.now() < end; a = await stats(page)) await sleep(50);
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
      tracks: await page.$eval('#player', (p) => p.srcObject.getTracks().map((t) => t.id).sort().join()),
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

  // shot saves what a page looks like with the pointer on the picture: what fits on the screen, all of it, or what is above cut.
  async shot({ url, file, width, height, dark, full, cut, wait = 1500 }) {
    const page = await open(await browser('viewer'), url, { width, height, dark });
    try {
      await until(page, 'state', 'live', 15000);
      await page.hover('#player');
      await sleep(wait);
      await page.screenshot({ path: file, fullPage: full || cut > 0, clip: cut ? { x: 0, y: 0, width, height: cut } : undefined });
      return await page.evaluate(() => ({
        wide: document.documentElement.scrollWidth > innerWidth || [...document.querySelectorAll('button')].some((e) => e.checkVisibility() && e.getBoundingClientRect().right > innerWidth),
      }));
    } finally {
      await page.context().close();
    }
  },

  // visit opens a page, presses a button, and returns what element say then says: as soon as it has the state, or is visible.
  async visit({ url, as = 'viewer', scripts, click, say, state }) {
    const page = await open(await browser(as), url.replace('{foreign}', foreign), { scripts });
    try {
      if (click) await page.click('#' + click, { timeout: 15000 });
      if (state) return await until(page, say, state, 15000);
      await page.waitForFunction((i) => document.getElementById(i)?.checkVisibility(), say, { timeout: 15000 });
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
