// The program as castd runs it, with a castd of a few lines.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';
import { parseSecret, verify } from '../src/signature.mjs';

const program = fileURLToPath(new URL('../dist/castd-plugin-webhook', import.meta.url));
const protocol = fileURLToPath(new URL('../../../plugins/sdk/protocol/plugin.proto', import.meta.url));
const { castd } = grpc.loadPackageDefinition(protoLoader.loadSync(protocol, { longs: Number, enums: String, defaults: true }));
const patient = { timeout: 60_000 }; // ms
const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const settings = { secret, events: 'all', queue: 10, timeout: '5s', give_up: '1m' };

// run runs the program with an environment, and returns { code, stdout, stderr }.
const run = (args, env) =>
  new Promise((resolve) => {
    const done = (err, stdout, stderr) => resolve({ code: err?.code ?? 0, stdout, stderr });
    execFile(program, args, { env: { PATH: process.env.PATH, ...env } }, done);
  });

// call makes a promise of a unary call.
const call = (client, method, request) =>
  new Promise((resolve, reject) => {
    client[method](request, (err, answer) => (err ? reject(err) : resolve(answer)));
  });

// plugin starts the program as castd does.
async function plugin(t) {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'webhook-'));
  const notices = [];
  const host = new grpc.Server();
  host.addService(castd.plugin.v1.Host.service, {
    notify({ request, metadata }, answer) {
      notices.push([metadata.get('castd-token')[0], request.message]);
      answer(null, {});
    },
  });
  await new Promise((resolve, reject) => {
    host.bindAsync(`unix:${dir}/host`, grpc.ServerCredentials.createInsecure(), (err) => (err ? reject(err) : resolve()));
  });
  const child = spawn(program, {
    env: {
      PATH: process.env.PATH, CASTD_PLUGIN_COOKIE: 'castd.plugin', PLUGIN_UNIX_SOCKET_DIR: dir, CASTD_HOST_SOCKET: `${dir}/host`,
      CASTD_HOST_TOKEN: 'token', CASTD_PARENT: String(process.pid),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const p = { child, notices, stderr: '', ended: once(child, 'exit') };
  child.stderr.on('data', (data) => (p.stderr += data));
  const [line] = await once(readline.createInterface(child.stdout), 'line');
  const match = /^1\|1\|unix\|(.*)\|grpc$/.exec(line);
  assert.ok(match, line);
  p.base = new castd.plugin.v1.Plugin(`unix:${match[1]}`, grpc.credentials.createInsecure());
  p.rooms = new castd.plugin.v1.Rooms(`unix:${match[1]}`, grpc.credentials.createInsecure());
  p.configure = (config, granted) => {
    return call(p.base, 'configure', { config: Buffer.from(JSON.stringify({ ...settings, ...config })), granted });
  };
  t.after(() => {
    child.kill('SIGKILL');
    p.base.close();
    p.rooms.close();
    host.forceShutdown();
    rmSync(dir, { recursive: true });
  });
  return p;
}

// webhook serves one, which answers with status, and returns { url, posts, arrived(n) }.
async function webhook(t, status) {
  const posts = [];
  const server = http.createServer(async (request, answer) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts).toString();
    assert.ok(verify(parseSecret(secret), request.headers, body, Date.now() / 1000), 'signed');
    posts.push(JSON.parse(body));
    answer.writeHead(status).end();
    server.emit('post');
  });
  server.listen(0, '127.0.0.1');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  await once(server, 'listening');
  const events = () => posts.flatMap((p) => p.events);
  const arrived = async (n) => {
    while (events().length < n) await once(server, 'post');
    return events();
  };
  return { url: `http://127.0.0.1:${server.address().port}/`, posts, arrived };
}

const ann = { id: 'a', name: 'Ann', roles: ['owner'], muted: false };
const room = { id: 'testtest', name: 'lobby', title: 'The lobby', mode: 'conference', participants: [ann] };
const time = '2026-01-02T03:04:05.678Z';
const event = (name, fields) => ({ event: name, time, json: Buffer.from(JSON.stringify({ event: name, room: room.id, ...fields })) });

test('what happens in a room arrives, also what happens at the end', patient, async (t) => {
  const p = await plugin(t);
  const hook = await webhook(t, 200);
  await p.configure({ url: hook.url }, ['rooms', 'network']);
  const attending = p.rooms.attend();
  const acks = [];
  attending.on('data', (m) => acks.push(m.ack));
  const ended = once(attending, 'end');
  attending.write({ number: 1, begin: { room } });
  attending.write({ number: 2, events: [event('stream', { slot: 'main', state: 'live' })] });
  const bob = { participant: 'b', name: 'Bob', roles: null, muted: false };
  const same = { participant: 'a', name: 'Ann', roles: ['owner'], muted: false };
  attending.write({ number: 3, events: [event('participants', { participants: [same, bob] })] });
  attending.write({ number: 4, events: [event('participants', { participants: [bob] })] });
  await hook.arrived(4);
  attending.end();
  await ended;
  assert.deepEqual(acks, [1, 2, 3, 4]);
  assert.equal((await call(p.base, 'health', {})).problem, '');
  await call(p.base, 'shutdown', { deadlineMs: 5000 });
  const events = await hook.arrived(5);
  const at = { id: 'testtest', name: 'lobby' };
  assert.deepEqual(events.map(({ number }) => number), [1, 2, 3, 4, 5]);
  assert.deepEqual(events[0].participants, [ann]);
  assert.deepEqual(events.slice(1, 4), [
    { number: 2, type: 'stream', time, room: at, data: { slot: 'main', state: 'live' } },
    { number: 3, type: 'participant.joined', time, room: at, participant: { id: 'b', name: 'Bob', roles: [], muted: false } },
    { number: 4, type: 'participant.left', time, room: at, participant: ann },
  ]);
  assert.equal(events[4].type, 'room.end');
  p.base.close();
  p.rooms.close();
  assert.deepEqual(await p.ended, [0, null]);
});

test('the operator is told when events are lost', patient, async (t) => {
  const p = await plugin(t);
  const hook = await webhook(t, 403);
  await p.configure({ url: hook.url }, ['rooms', 'network', 'notify']);
  const attending = p.rooms.attend();
  attending.on('error', () => {});
  attending.write({ number: 1, begin: { room } });
  while (p.notices.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(p.notices, [['token', '1 events for the webhook are lost: see castd plugin list']]);
  assert.match((await call(p.base, 'health', {})).problem, /HTTP 403/);
  const { metrics } = await call(p.base, 'metrics', {});
  assert.equal(metrics.find((m) => m.name === 'webhook_refused_events_total').value, 1);
  assert.ok(!p.stderr.includes(hook.url) && !p.stderr.includes(secret.slice(6)), p.stderr);
});

test('without the network it says so, and sends nothing', patient, async (t) => {
  const p = await plugin(t);
  const hook = await webhook(t, 200);
  await p.configure({ url: hook.url }, []);
  assert.match((await call(p.base, 'health', {})).problem, /--grant network/);
  assert.equal(hook.posts.length, 0);
});

test('a bad setting is refused, for the operator', patient, async (t) => {
  const p = await plugin(t);
  await assert.rejects(p.configure({ url: 'https://example.com', secret: 'geheim' }, []), (err) => {
    assert.equal(err.code, grpc.status.INVALID_ARGUMENT);
    assert.match(err.details, /^secret should be whsec_/);
    return true;
  });
});

test('it describes itself, ends without castd, and says what it is to who starts it by hand', patient, async () => {
  const described = await run(['describe'], {});
  assert.equal(described.code, 0);
  const description = JSON.parse(described.stdout);
  assert.equal(description.name, 'webhook');
  assert.deepEqual(description.protocols, [1]);
  const alone = await run([], {});
  assert.equal(alone.code, 1);
  assert.match(alone.stderr, /castd plugin install/);
  const dir = mkdtempSync(path.join(os.tmpdir(), 'webhook-'));
  const orphan = await run([], { CASTD_PLUGIN_COOKIE: 'castd.plugin', PLUGIN_UNIX_SOCKET_DIR: dir, CASTD_PARENT: '1' });
  assert.equal(orphan.code, 1);
  rmSync(dir, { recursive: true });
});

test('the lock file names no place that packages come from', () => {
  const lock = readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8');
  assert.ok(!lock.includes('"resolved"'));
  assert.ok(readdirSync(new URL('..', import.meta.url)).includes('.npmrc'));
});
