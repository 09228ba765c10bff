// Signatures as https://www.standardwebhooks.com has them, for which there are libraries in most languages.

import { createHmac, timingSafeEqual } from 'node:crypto';

// parseSecret returns the key of a secret, undefined where it is none: "whsec_" and the base64 of 24 to 64 octets.
export function parseSecret(text) {
  const match = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(text);
  if (!match) return undefined;
  const key = Buffer.from(match[1], 'base64');
  return key.length >= 24 && key.length <= 64 && key.toString('base64') === match[1] ? key : undefined;
}

const signature = (key, id, seconds, body) => `v1,${createHmac('sha256', key).update(`${id}.${seconds}.${body}`).digest('base64')}`;

// sign returns the headers of a request. seconds is a Unix time.
export function sign(key, id, seconds, body) {
  return { 'webhook-id': id, 'webhook-timestamp': String(seconds), 'webhook-signature': signature(key, id, seconds, body) };
}

// verify says whether a request is from who has the key, and not older than five minutes: what a receiver has to do.
export function verify(key, headers, body, seconds) {
  const sent = Number(headers['webhook-timestamp']);
  if (!(Math.abs(seconds - sent) <= 300)) return false;
  const want = Buffer.from(signature(key, headers['webhook-id'], sent, body));
  return String(headers['webhook-signature']).split(' ').some((text) => {
    const got = Buffer.from(text);
    return got.length === want.length && timingSafeEqual(got, want);
  });
}
