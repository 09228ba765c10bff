// Commands of driver.mjs for the call in a room's page. Microphones and ears are those of talk.js.

import { open, until } from './chromium.mjs';

const patience = 20000; // milliseconds

export const callCommands = (browser, pages) => ({
  // call opens a page, joins the call, and waits until it is in it.
  async call({ as, by = 'viewer', url, name, voice, ...look }) {
    const page = await open(await browser(by), url, { scripts: ['talk.js', ...(voice?.colour ? ['film.js'] : [])], settings: voice, ...look });
    pages.set(as, page);
    await page.fill('#call-who', name, { timeout: patience });
    await page.click('#call-join');
    return until(page, 'call-state', 'live', patience);
  },

  // attend opens a page that only listens, and waits until it plays.
  async attend({ as, by = 'viewer', url, name, voice }) {
    const page = await open(await browser(by), url, { scripts: ['talk.js'], settings: voice });
    pages.set(as, page);
    if (name) await page.fill('#call-who', name, { timeout: patience });
    return until(page, 'state', 'live', patience);
  },

  // asking tells what a page shows to who only listens, and how often it has opened a microphone.
  async asking({ as }) {
    return pages.get(as).evaluate(() => {
      const shown = (id) => document.getElementById(id)?.checkVisibility() || false;
      const text = (id) => (shown(id) ? document.getElementById(id).textContent : '');
      return { opened: talk.opened, join: text('call-join'), ask: text('call-ask'), told: text('call-told') || text('call-text'), called: shown('call-called'), form: shown('call-microphone') };
    });
  },

  // clicks tells when a page has heard clicks, by any of its connections.
  async clicks({ as }) { return { heard: await pages.get(as).evaluate(() => talk.heard) }; },

  // ear tells how loud tones are that a page plays, and what is left of its own, in dB below full scale.
  async ear({ as, tones, own }) {
    return pages.get(as).evaluate(([t, o]) => ({ levels: t.map((f) => talk.level(f)), residue: talk.residue(o) }), [tones, own]);
  },

  // tiles tells what a page shows of the others' cameras, what it said, and how often it has offered anything.
  async tiles({ as }) {
    const page = pages.get(as);
    return {
      ...await page.evaluate(() => ({ tiles: film.tiles(), offers: film.offers, sections: talk.connections.at(-1)?.getTransceivers().length || 0 })),
      troubles: page.troubles, told: await page.$eval('#call-told', (e) => (e.hidden ? '' : e.textContent)),
    };
  },

  // still tells how long the picture of a section stood still at most, in so many milliseconds, in which the page says something, and how long
  // at most one of the pages got no time.
  async still({ as, mid, ms, message }) {
    const page = pages.get(as);
    const longest = page.evaluate(([m, t]) => film.freezes(m, t), [mid, ms]);
    const starved = Promise.all([...pages.values()].map((p) => p.evaluate((t) => window.film?.starved(t) ?? 0, ms)));
    if (message) await page.evaluate((m) => film.say(m), message);
    return { longest: await longest, starved: Math.max(...await starved) };
  },

  async forget({ as }) {
    await pages.get(as).evaluate(() => talk.forget());
    return {};
  },

  // people tells whom a page shows in the call.
  async people({ as }) {
    const page = pages.get(as);
    const people = await page.$$eval('#call-people li', (all) => all.map((e) => ({
      participant: e.dataset.participant, name: e.querySelector('.name').textContent, marks: e.querySelector('.marks').textContent,
      talking: e.classList.contains('talking'), slider: e.querySelector('input[type=range]')?.checkVisibility() ? e.querySelector('input[type=range]').ariaLabel : '',
    })));
    return { people, troubles: page.troubles, level: await page.$eval('#call-level', (m) => m.value), chat: await page.$$eval('#call-chat li', (all) => all.map((e) => e.textContent)) };
  },

  // loudness moves the slider of somebody.
  async loudness({ as, name, value }) {
    const page = pages.get(as);
    await page.getByLabel('Loudness of ' + name, { exact: true }).fill(String(value), { timeout: patience });
    return {};
  },

  // moderate presses the button of a verb at somebody.
  async moderate({ as, name, verb }) {
    const page = pages.get(as);
    await page.getByLabel('Moderate ' + name, { exact: true }).click({ timeout: patience });
    await page.locator('#call-people li', { has: page.getByLabel('Moderate ' + name, { exact: true }) }).locator(`[data-verb=${verb}]`).click({ timeout: patience });
    await page.getByLabel('Moderate ' + name, { exact: true }).click({ timeout: 1000 }).catch(() => {}); // who was put out is gone
    return {};
  },

  // write sends a line to the chat.
  async write({ as, text }) {
    const page = pages.get(as);
    await page.fill('#call-line', text, { timeout: patience });
    await page.press('#call-line', 'Enter');
    return {};
  },

  // type fills a field and sends its form.
  async type({ as, selector, text }) {
    const page = pages.get(as);
    await page.fill(selector, text, { timeout: patience });
    await page.press(selector, 'Enter');
    return {};
  },

  // announce has a file heard by all, or by one.
  async announce({ as, file, to }) {
    const page = pages.get(as);
    await page.setInputFiles('#call-announce-file', file, { timeout: patience });
    await page.selectOption('#call-announce-to', { label: to || 'Everybody' }, { timeout: patience });
    await page.click('#call-announce', { timeout: patience });
    return {};
  },

  // shown tells whether a page shows something.
  async shown({ as, selector }) { return { shown: await pages.get(as).isVisible(selector) }; },

  // picture saves what a page of a call looks like on a screen of that size, and tells what does not fit on it, what is too small to
  // touch, and what has no name.
  async picture({ as, file, width, height, dark, cut }) {
    const page = pages.get(as);
    await page.emulateMedia({ colorScheme: dark ? 'dark' : 'light' });
    await page.setViewportSize({ width, height });
    await page.screenshot({ path: file, fullPage: true, clip: { x: 0, y: 0, width, height: cut } });
    return page.evaluate(() => {
      const seen = [...document.querySelectorAll('button, select, input, meter')].filter((e) => e.checkVisibility());
      const name = (e) => e.id || e.textContent || e.className;
      return {
        wide: document.documentElement.scrollWidth > innerWidth || seen.some((e) => e.getBoundingClientRect().right > innerWidth),
        small: seen.filter((e) => e.matches('button, select, input:not([type=checkbox])') && e.getBoundingClientRect().height < 28).map(name),
        nameless: seen.filter((e) => !e.labels?.length && !e.ariaLabel && !e.textContent.trim()).map(name),
      };
    });
  },

  // delays matches the clicks that one page has said with those that another one has heard since, and tells how long they took.
  async delays({ from, to, count, ms }) {
    const [mouth, ear] = [pages.get(from), pages.get(to)];
    const wait = (page, key) => page.waitForFunction(([k, n]) => talk[k].length >= n, [key, count], { timeout: ms, polling: 200 });
    const begin = Date.now();
    await mouth.evaluate(() => { talk.said.length = 0; });
    await ear.evaluate(() => { talk.heard.length = 0; });
    await wait(ear, 'heard').catch(() => {}); // what has come by then is judged
    const [said, heard] = [await mouth.evaluate(() => talk.said), await ear.evaluate(() => talk.heard)];
    const delays = heard.map((at) => at - Math.max(...said.filter((s) => s <= at))).filter((d) => d < 1000);
    return { delays, said: said.length, heard: heard.length, took: (Date.now() - begin) / 1000 };
  },

  // received gives the player's own numbers of what a page hears, and how many octets a packet of its own has.
  async received({ as }) {
    return pages.get(as).evaluate(async () => {
      const all = await talk.connections.at(-1).getStats();
      const find = (type) => [...all.values()].find((s) => s.type === type && s.kind === 'audio') || {};
      const { bytesSent, packetsSent } = find('outbound-rtp');
      return { ...find('inbound-rtp'), octets: bytesSent / packetsSent };
    });
  },
});
