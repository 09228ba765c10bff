// Tests of those parts of the page that need no browser; page_test.go runs them by node beside the modules.

import assert from 'node:assert/strict';

// What the modules expect of a browser when they are loaded.
const store = new Map();
const storage = { getItem: (k) => store.get(k) ?? null, setItem: (k, v) => store.set(k, v) };
const permissions = { camera: 'prompt', microphone: 'prompt' };
for (const [name, value] of Object.entries({
  window: globalThis, isSecureContext: true, sessionStorage: storage, localStorage: storage,
  location: { host: '192.168.1.5:8470', port: '8470', pathname: '/r/lobby', hash: '' },
  navigator: { mediaDevices: {}, permissions: { query: async ({ name }) => ({ state: permissions[name] }) } },
  document: { getElementById: () => null, addEventListener() {} }, addEventListener() {}, RTCPeerConnection: class {},
})) Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });

const { backoff, setToken, token } = await import('./api.js');
const { renewed } = await import('./exchange.js');
const { deviceMessage, whyNoDevices } = await import('./devices.js');
const { grow, layout, news, unfold, wide } = await import('./branches.js');
await import('./tree.js'); // loads without a page
await import('./calling.js');
const { slotsOf } = await import('./player.js');

// Tokens come alone or in a link.
setToken('https://peer.example/r/lobby#token=a%2Bb');
assert.equal(token(), 'a+b');
setToken(' plain ');
assert.equal(token(), 'plain');
for (let n = 0; n < 20; n++) assert.ok(backoff(n) >= 300 && backoff(n) <= 12500);

// The answer to a restart of ICE replaces the transport and nothing else.
const answer = ['v=0', 'a=group:BUNDLE 0 1', 'm=audio 9 UDP/TLS/RTP/SAVPF 111', 'a=mid:0', 'a=ice-ufrag:old', 'a=ice-pwd:oldpassword', 'a=candidate:1 1 udp 1 192.0.2.1 1 typ host',
  'a=end-of-candidates', 'a=fingerprint:sha-256 AA', 'm=video 9 UDP/TLS/RTP/SAVPF 96', 'a=mid:1', 'a=ice-ufrag:old', 'a=ice-pwd:oldpassword', ''].join('\r\n');
const fragment = 'a=ice-options:trickle\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:new\r\na=ice-pwd:newpassword\r\na=candidate:2 1 udp 1 192.0.2.1 2 typ host\r\na=end-of-candidates\r\n';
const next = renewed(answer, fragment);
assert.equal(next.match(/ice-ufrag:new\r/g).length, 2);
assert.equal(next.match(/ice-pwd:newpassword\r/g).length, 2);
assert.ok(!next.includes('old') && !next.includes('candidate:1 ') && next.includes('a=fingerprint:sha-256 AA'));
assert.equal(next.match(/a=candidate:2 /g).length, 1);
assert.ok(next.indexOf('candidate:2') < next.indexOf('m=video') && next.endsWith('\r\n'));
assert.equal(renewed(next, fragment), next);

// Each reason why there is no camera has words that say what to do.
const fails = (name, message = '') => deviceMessage(Object.assign(new Error(message), { name }));
assert.match(await fails('NotAllowedError'), /was not allowed .*beside the address/);
const mute = (name, message = '') => deviceMessage(Object.assign(new Error(message), { name }), false);
assert.match(await mute('NotAllowedError'), /was not allowed to use the microphone.*beside the address/);
permissions.camera = 'denied';
assert.doesNotMatch(await mute('NotAllowedError'), /blocked/);
assert.match(await mute('NotAllowedError', 'Permission denied by system'), /keeps the microphone from .*Allow it/);
assert.match(await mute('NotFoundError'), /No microphone .*you can listen/);
assert.match(await mute('NotReadableError'), /in use by another program.*Close/);
assert.match(await mute('OtherError', 'strange'), /^The microphone could not be opened: strange/);
assert.match(await fails('NotAllowedError'), /are blocked .*beside the address/);
assert.match(await fails('NotAllowedError', 'Permission denied by system'), /operating system .*privacy/);
assert.match(await fails('NotFoundError'), /Plug one in, or choose/);
assert.match(await fails('NotReadableError'), /in use by another program.*Close/);
assert.match(await fails('AbortError'), /try again/);
assert.match(await fails('OverconstrainedError'), /Choose another one/);
assert.match(await fails('OtherError', 'strange'), /strange/);
assert.equal(whyNoDevices('lobby'), '');
globalThis.isSecureContext = false;
assert.match(whyNoDevices('lobby'), /castd start --room lobby --http 0\.0\.0\.0:8470 --tls self .*https:\/\/192\.168\.1\.5:8470\/r\/lobby.*http:\/\/127\.0\.0\.1:8470\/r\/lobby/);

// What can be watched has the names of people where there are any.
const stream = (slot, participant, state = 'live') => ({ slot, participant, state });
assert.deepEqual(slotsOf({
  streams: [stream('main', 'a'), stream('main', 'a'), stream('screen', 'a'), stream('main', 'b'), stream('old', 'a', 'ended')],
  participants: [{ participant: 'a', name: 'Ada' }, { participant: 'b' }],
}).map((s) => s.label), ['Ada', 'Ada: screen', 'main']);

// In the drawing no two peers are at one place, parents are above their children, and rings end.
const node = (peer, parent, depth) => ({ peer, parent, depth, children: [] });
const drawing = (nodes, columns = 1e9, self = nodes[0]?.peer, wish) => {
  const forest = grow(nodes);
  return layout(forest, unfold(forest, self, columns, wish));
};
const tree = [node('o', undefined, 0)];
for (let i = 1; i < 120; i++) tree.push(node('p' + i, i < 4 ? 'o' : 'p' + Math.floor((i - 1) / 3), 0));
for (const n of tree) n.path = n.parent ? [...tree.find((p) => p.peer === n.parent).path, n.peer] : [n.peer];
const put = drawing(tree);
assert.equal(new Set([...put.values()].map((p) => `${p.x} ${p.y}`)).size, tree.length);
for (const n of tree.slice(1)) assert.ok(put.get(n.peer).y > put.get(n.parent).y, n.peer);
assert.equal(drawing([node('a', 'b', 1), node('b', 'a', 1), node('c', 'c', 2)]).size, 3);
assert.equal(drawing([]).size, 0);
assert.equal([...drawing([node('x', 'unknown', 3)]).values()][0].y > 0, true);

// Where not all fit beside each other, branches are folded and counted; this peer is always there, and what somebody opens is open.
const across = (places) => Math.max(...[...places.values()].map((p) => p.x)) / wide + 1;
const counts = (places) => [...places.values()].reduce((sum, p) => sum + (p.hidden || 0) + (p.folded || 0) + (p.node ? 1 : 0), 0);
for (const columns of [6, 12, 30]) {
  const folded = drawing(tree, columns, 'p119');
  assert.ok(folded.has('p119') && across(folded) <= columns + 24, `${columns}: ${across(folded)}`);
  assert.equal(counts(folded), tree.length);
  assert.ok(across(drawing(tree, columns)) <= Math.max(columns, 9));
}
assert.ok(drawing(tree, 6, 'o', new Map([['p1', true]])).has('p4'));
assert.ok(!drawing(tree, 1e9, 'o', new Map([['p1', false]])).has('p4'));
const star = [{ ...node('o', undefined, 0), path: ['o'], below: 5000 }];
for (let i = 1; i < 500; i++) star.push({ ...node('p' + i, 'o', 1), path: ['o', 'p' + i] });
assert.ok(drawing(star, 20).size < 20);
assert.equal(counts(drawing(star, 20)), 5001); // also those that are only counted

// What has changed is said in a few words.
const called = (id) => id.toUpperCase();
assert.deepEqual(news(tree, tree, called), { moved: [], text: '' });
assert.deepEqual(news([node('a'), node('b', 'a')], [node('a'), node('c', 'a')], called), { moved: [], text: 'B is gone. C has come.' });
assert.deepEqual(news([node('a'), node('b', 'a'), node('c', 'b')], [node('a'), node('c', 'a')], called), { moved: ['c'], text: 'B is gone. C is now fed by A.' });
assert.equal(news([node('a')], tree, called).text, 'A is gone. 120 peers have come.');
