// Settings, as castd gives them: it has checked their types, and put in what is default.

import { parseSecret } from './signature.mjs';

// parseSettings returns { url, key, events, queue, timeout, giveUp }, or { problem } with a sentence that says what to write instead. It
// quotes neither the URL nor the secret.
export function parseSettings({ url, secret, events, queue, timeout, give_up }) {
  const parsed = { key: parseSecret(secret), timeout: parseDuration(timeout), giveUp: parseDuration(give_up), queue };
  const bad = (problem) => ({ problem });
  try {
    parsed.url = new URL(url);
  } catch {
    return bad('url is none: write it like https://example.com/hook');
  }
  if (!['http:', 'https:'].includes(parsed.url.protocol)) return bad('url begins with neither https:// nor http://');
  if (parsed.url.username || parsed.url.password) return bad('url has a name or password, which are not sent: leave them out');
  if (!parsed.key) {
    return bad('secret should be whsec_ and the base64 of 24 to 64 random octets: echo whsec_$(openssl rand -base64 32) makes one');
  }
  if (!Number.isInteger(queue) || queue < 1 || queue > 100_000) return bad(`queue is ${queue}, but should be 1 to 100000`);
  if (!(parsed.timeout >= 100 && parsed.timeout <= 60_000)) return bad(`timeout is ${timeout}, but should be 100ms to 1m`);
  if (!(parsed.giveUp >= 1000 && parsed.giveUp <= 86_400_000)) return bad(`give_up is ${give_up}, but should be 1s to 24h`);
  const names = events.split(',').map((name) => name.trim()).filter((name) => name !== '');
  if (names.length === 0) return bad('events names none: write those that are wanted, separated by commas, or all');
  const wanted = new Set(names);
  parsed.events = (type) => wanted.has(type) || wanted.has('all');
  return parsed;
}

const units = { ns: 1e-6, us: 1e-3, 'µs': 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

// parseDuration reads a duration as Go writes it, like 1m30s, in ms; NaN where it is none.
export function parseDuration(text) {
  const parts = [...String(text).matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(([all]) => all).join('') !== text) return NaN;
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * units[unit], 0);
}
