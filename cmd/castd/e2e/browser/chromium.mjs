// Starts Chromium headless, each time with a profile of its own, and opens pages of castd in it.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const places = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/snap/bin/chromium'];

export function findChromium() {
  const found = process.env.CHROMIUM || places.find((p) => existsSync(p));
  if (!found) throw new Error('no Chromium was found; set CHROMIUM to its path');
  return found;
}

const script = (name) => readFileSync(new URL(name, import.meta.url), 'utf8');
const always = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

// launch starts a browser that plays sound before any click. It has a fake camera and a fake microphone, which it gives without
// asking, or refuses. map gives names of hosts that lead to this machine.
export async function launch({ refuse = false, map = [] } = {}) {
  const { chromium } = createRequire(import.meta.url)('playwright-core');
  return chromium.launch({
    executablePath: findChromium(), headless: true,
    args: [
      ...always, '--autoplay-policy=no-user-gesture-required', '--use-fake-device-for-media-stream=display-media-type=monitor',
      refuse ? '--deny-permission-prompts' : '--use-fake-ui-for-media-stream',
      ...(map.length ? ['--host-resolver-rules=' + map.map((h) => `MAP ${h} 127.0.0.1`).join(',')] : []),
    ],
  });
}

// open loads a page with the scripts (files of this folder) put in front, which find settings in window.settings. Errors of the page are collected in page.troubles.
export async function open(browser, url, { scripts = [], settings, width = 1280, height = 800, dark = false, scale = 1, before = () => {} } = {}) {
  const context = await browser.newContext({
    ignoreHTTPSErrors: true, // as a person does once for a certificate of the peer's own
    viewport: { width, height }, colorScheme: dark ? 'dark' : 'light', deviceScaleFactor: scale, hasTouch: width < 600, isMobile: width < 600,
  });
  if (settings) await context.addInitScript({ content: `window.settings = ${JSON.stringify(settings)};` });
  for (const s of scripts) await context.addInitScript(script(s));
  const page = await context.newPage();
  page.troubles = [];
  page.on('pageerror', (e) => page.troubles.push(String(e)));
  await before(page);
  await page.goto(url);
  return page;
}

// processes returns the ids of a browser's processes.
export async function processes(browser) {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  await session.detach();
  return processInfo.map((p) => p.id);
}

// until waits for #id to have one of the states, and returns what it then says.
export async function until(page, id, states, ms) {
  const wanted = [].concat(states);
  try {
    await page.waitForFunction(([i, w]) => w.includes(document.getElementById(i)?.dataset.state), [id, wanted], { timeout: ms, polling: 50 });
  } catch {
    throw new Error(`#${id} is not ${wanted} after ${ms} ms but: ${JSON.stringify(await said(page, id))} ${page.troubles}`);
  }
  return said(page, id);
}

export function said(page, id) {
  return page.evaluate((i) => {
    const e = document.getElementById(i);
    return { state: e.dataset.state || '', text: e.innerText.trim(), visible: e.checkVisibility() };
  }, id);
}
