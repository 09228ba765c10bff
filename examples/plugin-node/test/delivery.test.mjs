import assert from 'node:assert/strict';
import test from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Delivery, backoff, limits } from '../src/delivery.mjs';
import { verify } from '../src/signature.mjs';

const key = Buffer.alloc(32, 7);

// world is a Delivery in a time that only advance moves. answers are what the webhook says, in turn; the last one from then on. "later" has
// it wait until release.
function world(answers, settings = {}) {
  const w = { time: 1_000_000, timers: [], posts: [], logs: [], losing: 0, answers };
  const clock = {
    now: () => w.time,
    after(ms, f) {
      const timer = { at: w.time + ms, f };
      w.timers.push(timer);
      return () => (w.timers = w.timers.filter((t) => t !== timer));
    },
  };
  const post = async (body, headers) => {
    assert.ok(verify(key, headers, body, w.time / 1000), 'signed');
    w.posts.push({ at: w.time, id: headers['webhook-id'], ...JSON.parse(body) });
    const answer = w.answers.length > 1 ? w.answers.shift() : w.answers[0];
    if (answer === 'later') return new Promise((resolve) => (w.release = () => resolve({ status: 200 })));
    if (typeof answer === 'string') throw Object.assign(new Error('connect ECONNREFUSED 192.0.2.1:443'), { code: answer });
    return typeof answer === 'number' ? { status: answer } : answer;
  };
  let ids = 0;
  w.delivery = new Delivery({ key, giveUp: 600_000, queue: 1000, ...settings }, 'run', {
    clock, post, random: () => 1, id: () => `msg_${++ids}`, log: (...line) => w.logs.push(JSON.stringify(line)), losing: () => w.losing++,
  });
  w.advance = async (ms) => {
    for (const end = w.time + ms; ; ) {
      await turn();
      const [due] = w.timers.filter((t) => t.at <= end).sort((a, b) => a.at - b.at);
      if (!due) {
        w.time = end;
        return;
      }
      w.timers = w.timers.filter((t) => t !== due);
      w.time = due.at;
      due.f();
    }
  };
  return w;
}

const numbers = (post) => post.events.map((e) => e.number);

test('events go in batches, one after the other', async () => {
  const w = world(['later', 200]);
  const d = w.delivery;
  d.add({ type: 'a' });
  await w.advance(limits.gather - 1);
  assert.equal(w.posts.length, 0, 'it waits for others');
  d.add({ type: 'b' });
  await w.advance(1);
  assert.deepEqual(numbers(w.posts[0]), [1, 2]);
  for (let i = 0; i < 250; i++) d.add({ type: 'c' });
  await w.advance(60_000);
  assert.equal(w.posts.length, 1, 'one request at a time');
  assert.equal(d.waiting, 252);
  w.release();
  await w.advance(0);
  assert.deepEqual(w.posts.map((p) => p.events.length), [2, 100, 100, 50]);
  assert.deepEqual(w.posts.flatMap(numbers), Array.from({ length: 252 }, (_, i) => i + 1));
  assert.deepEqual([d.delivered, d.waiting, d.lost, d.problem], [252, 0, 0, '']);
});

test('a whole batch does not wait', async () => {
  const w = world([200]);
  for (let i = 0; i < 100; i++) w.delivery.add({});
  await w.advance(0);
  assert.equal(w.posts.length, 1);
});

test('what fails is tried again, under the same name, later and later', async () => {
  const w = world(['ECONNREFUSED', 503, 429, 200]);
  w.delivery.add({});
  await w.advance(limits.gather + 500 + 1000);
  assert.match(w.delivery.problem, /^the webhook does not take events \(HTTP 429\): 1 wait and 0 are lost$/);
  await w.advance(2000);
  assert.deepEqual(w.posts.map((p) => p.id), ['msg_1', 'msg_1', 'msg_1', 'msg_1']);
  assert.deepEqual(w.posts.slice(1).map((p, i) => p.at - w.posts[i].at), [500, 1000, 2000]);
  assert.deepEqual([w.delivery.delivered, w.delivery.failed, w.delivery.requests, w.delivery.problem], [1, 3, 4, '']);
  assert.doesNotMatch(w.logs.join(), /192\.0\.2\.1/, 'no addresses in the log');
});

test('one failure is no problem yet', async () => {
  const w = world([500]);
  w.delivery.add({});
  await w.advance(limits.gather);
  assert.equal(w.posts.length, 1);
  assert.equal(w.delivery.problem, '');
});

test('the pause is random, bounded, and what the webhook asks for', () => {
  assert.equal(backoff(1, () => 0), 100, 'never at once');
  assert.equal(backoff(4, () => 0.5), 2000);
  assert.equal(backoff(1000, () => 1), 60_000);
  assert.equal(backoff(1, () => 1, '7'), 7000);
  assert.equal(backoff(1, () => 1, '99999999999'), 60_000);
  assert.equal(backoff(1, () => 1, 'Wed, 21 Oct 2015 07:28:00 GMT'), 500);
});

test('what the webhook does not want is not sent again', async () => {
  const w = world([401, 302, 200]);
  for (let i = 0; i < 201; i++) w.delivery.add({});
  await w.advance(0);
  assert.deepEqual([w.delivery.refused, w.delivery.delivered, w.losing], [200, 1, 2]);
  assert.equal(w.posts[2].lost, 200, 'it is told');
  assert.equal(w.delivery.problem, '');
  w.answers = [401];
  w.delivery.add({});
  await w.advance(limits.gather);
  assert.match(w.delivery.problem, /HTTP 401.*201 are lost/);
});

test('of more than there is room for the oldest is dropped', async () => {
  const w = world([503], { queue: 5 });
  w.delivery.add({});
  await w.advance(limits.gather);
  for (let i = 0; i < 20; i++) w.delivery.add({});
  assert.deepEqual([w.delivery.waiting, w.delivery.dropped], [6, 15]);
  w.answers = [200];
  await w.advance(60_000);
  assert.deepEqual(w.posts.slice(1).map(numbers), [[1], [17, 18, 19, 20, 21]]);
  assert.equal(w.posts.at(-1).lost, 15);
});

test('what is too old is given up, after hours as after minutes', async () => {
  const w = world(['ETIMEDOUT'], { giveUp: 600_000 });
  for (let hour = 0; hour < 24; hour++) {
    w.delivery.add({});
    await w.advance(3_600_000);
    assert.equal(w.timers.length, 0);
  }
  assert.deepEqual([w.delivery.expired, w.delivery.waiting], [24, 0]);
  assert.ok(w.posts.length < 24 * 20, `${w.posts.length} requests`);
  w.answers = [200];
  w.delivery.add({});
  await w.advance(1000);
  assert.equal(w.delivery.delivered, 1);
});

test('at the end what waits is sent', async () => {
  const w = world([200]);
  w.delivery.add({ type: 'room.end' });
  let over = false;
  w.delivery.stop(w.time + 5000).then(() => (over = true));
  await w.advance(0);
  assert.ok(over);
  assert.equal(w.delivery.delivered, 1);
});

test('at the end what waits for its next try has it at once, and no other', async () => {
  for (const [answer, delivered] of [[200, 150], ['ECONNREFUSED', 0]]) {
    const w = world([503, answer]);
    for (let i = 0; i < 150; i++) w.delivery.add({});
    await w.advance(0); // a batch was sent, and failed
    let over = false;
    w.delivery.stop(w.time + 5000).then(() => (over = true));
    await w.advance(0);
    assert.ok(over);
    assert.equal(w.delivery.delivered, delivered);
  }
});

test('at the end a webhook that says nothing is not waited for', async () => {
  const w = world(['later']);
  w.delivery.add({});
  let over = false;
  w.delivery.stop(w.time + 5000).then(() => (over = true));
  await w.advance(4999);
  assert.ok(!over);
  await w.advance(1);
  assert.ok(over);
});

test('an end without events is at once', async () => {
  const w = world([200]);
  let over = false;
  w.delivery.stop(w.time + 5000).then(() => (over = true));
  await w.advance(0);
  assert.ok(over);
});
