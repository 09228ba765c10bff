import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import test from 'node:test';
import { poster } from '../src/post.mjs';

// webhook serves with handle, and returns its URL.
async function webhook(t, handle) {
  const server = http.createServer(handle).listen(0, '127.0.0.1');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  await once(server, 'listening');
  return new URL(`http://127.0.0.1:${server.address().port}/hook?a=b`);
}

test('a body arrives whole, and the answer is told', async (t) => {
  const text = 'ü'.repeat(100_000);
  const got = [];
  const url = await webhook(t, async (request, answer) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    got.push([request.url, request.headers['x-a'], Buffer.concat(parts).toString() === text]);
    answer.writeHead(503, { 'retry-after': '3' }).end();
  });
  assert.deepEqual(await poster(url, 20_000)(text, { 'x-a': 'b' }), { status: 503, retryAfter: '3' });
  assert.deepEqual(got, [['/hook?a=b', 'b', true]]);
});

test('a redirect is not followed', async (t) => {
  const url = await webhook(t, (_, answer) => answer.writeHead(302, { location: 'http://192.0.2.1/' }).end());
  assert.equal((await poster(url, 20_000)('{}', {})).status, 302);
});

test('who says nothing is left', async (t) => {
  const url = await webhook(t, () => {});
  await assert.rejects(poster(url, 100)('{}', {}), { code: 'ETIMEDOUT' });
});

test('an answer without end is not read', async (t) => {
  const url = await webhook(t, (_, answer) => {
    answer.writeHead(200);
    const more = () => answer.write(Buffer.alloc(16 << 10), more);
    more();
  });
  assert.equal((await poster(url, 20_000)('{}', {})).status, 200);
});

test('an answer that stops after its head is one', async (t) => {
  const url = await webhook(t, (_, answer) => answer.writeHead(200).flushHeaders());
  assert.equal((await poster(url, 2000)('{}', {})).status, 200);
});
