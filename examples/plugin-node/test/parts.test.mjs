import assert from 'node:assert/strict';
import test from 'node:test';
import { Queue } from '../src/queue.mjs';
import { Roster } from '../src/roster.mjs';
import { parseDuration, parseSettings } from '../src/settings.mjs';
import { parseSecret, sign, verify } from '../src/signature.mjs';

const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

test('signatures are those of Standard Webhooks', () => {
  const key = parseSecret(secret);
  const body = '{"test": 2432232314}';
  const headers = sign(key, 'msg_p5jXN8AQM9LWM0D4loKWxJek', 1614265330, body); // the example of the specification's libraries
  assert.equal(headers['webhook-signature'], 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
  assert.ok(verify(key, headers, body, 1614265330));
  assert.ok(!verify(key, headers, `${body} `, 1614265330), 'another body');
  assert.ok(!verify(key, headers, body, 1614265330 + 301), 'too old');
  assert.ok(!verify(key, {}, body, 1614265330), 'no headers');
  assert.ok(!verify(Buffer.alloc(24), headers, body, 1614265330), 'another key');
});

test('secrets that are none are refused', () => {
  for (const bad of ['', 'whsec_', 'secret', 'whsec_c2hvcnQ=', `${secret}!`, secret.slice(6), `whsec_${'A'.repeat(100)}`]) {
    assert.equal(parseSecret(bad), undefined, bad);
  }
});

test('settings that are wrong are refused, without quoting secrets', () => {
  const url = 'https://example.com/hook?token=geheim';
  const good = { url, secret, events: 'stream, room.begin', queue: 10, timeout: '1.5s', give_up: '1h30m' };
  const s = parseSettings(good);
  assert.equal(s.problem, undefined);
  assert.equal(s.timeout, 1500);
  assert.equal(s.giveUp, 5_400_000);
  assert.deepEqual(['stream', 'room.begin', 'gap'].map(s.events), [true, true, false]);
  assert.ok(parseSettings({ ...good, events: 'all' }).events('gap'));
  for (const bad of [
    { url: 'geheim' }, { url: 'ftp://example.com' }, { url: 'https://a:geheim@example.com' }, { secret: 'geheim' },
    { queue: 0 }, { queue: 1.5 }, { queue: 1e9 }, { timeout: '1ms' }, { timeout: '2m' }, { give_up: '1' }, { give_up: '25h' },
    { events: ' , ' },
  ]) {
    const { problem } = parseSettings({ ...good, ...bad });
    assert.match(problem, /^[a-z_]+ (is|begins|has|should|names)/, JSON.stringify(bad));
    assert.doesNotMatch(problem, /geheim/);
  }
});

test('durations are as Go writes them', () => {
  const good = [['1.5s', 1500], ['10m', 600_000], ['1h0m0.25s', 3_600_250], ['250ms', 250], ['.5s', 500]];
  for (const [text, ms] of good) assert.equal(parseDuration(text), ms, text);
  for (const bad of ['', '10', 's', '1s ', '-1s', '1d', undefined]) assert.ok(Number.isNaN(parseDuration(bad)), String(bad));
});

test('a queue drops the oldest, by number and by size', () => {
  const q = new Queue({ events: 3, octets: 10 });
  for (const text of ['a', 'b', 'c', 'd']) q.push(text, 0);
  assert.deepEqual([q.length, q.octets, q.dropped], [3, 3, 1]);
  q.push('12345678', 1);
  assert.deepEqual([q.length, q.octets, q.dropped], [3, 10, 2]);
  q.push('more than there is room for', 2);
  assert.deepEqual([q.length, q.dropped], [3, 3]);
  assert.deepEqual(q.take({ events: 10, octets: 3 }).map((e) => e.text), ['c', 'd']);
  assert.deepEqual(q.take({ events: 10, octets: 3 }).map((e) => e.text), ['12345678'], 'one event may be larger than a batch');
  assert.deepEqual([q.length, q.octets, q.take({ events: 1, octets: 1 })], [0, 0, []]);
});

test('a queue does not keep what it has given away', () => {
  const q = new Queue({ events: 5000, octets: 1 << 20 });
  const out = [];
  for (let i = 0; i < 50_000; i++) {
    q.push(String(i), i);
    if (q.length === 3000) out.push(...q.take({ events: 2000, octets: 1 << 20 }).map((e) => Number(e.text)));
  }
  assert.equal(q.dropped, 0);
  assert.deepEqual(out, [...out.keys()]);
  assert.equal(out.length + q.length, 50_000);
});

test('a roster says who came, who went, and what changed', () => {
  const ann = { id: 'a', name: 'Ann', roles: ['speaker'], muted: false };
  const bob = { id: 'b', name: 'Bob', roles: [], muted: false };
  const r = new Roster([ann]);
  assert.deepEqual(r.change([ann]), []);
  assert.deepEqual(r.change([bob, ann]), [{ type: 'participant.joined', participant: bob }]);
  assert.deepEqual(r.change([{ ...ann, muted: true }]), [
    { type: 'participant.left', participant: bob },
    { type: 'participant.changed', participant: { ...ann, muted: true } },
  ]);
});
