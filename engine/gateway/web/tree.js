// Draws a room's tree: whole at its origin, elsewhere this peer's place in it.

import { get } from './api.js';
import { byId, fill, item, short } from './dom.js';

const wide = 108; // of a peer, in units of the drawing
const high = 92; // of a level
const maxDrawn = 400; // peers; more of them nobody could tell apart

// showTree draws what the peer knows of the tree.
export async function showTree(place, path) {
  byId('tree-panel').hidden = !place;
  if (!place) return;
  const atOrigin = place.depth === 0 && place.path.length === 1;
  const nodes = atOrigin ? (await get(path + '/tree?scope=room').catch(() => ({ nodes: [place] }))).nodes : around(place);
  byId('tree-hint').textContent = hint(place, nodes, atOrigin);
  const svg = byId('tree-drawing');
  svg.setAttribute('aria-label', byId('tree-hint').textContent);
  draw(svg, layout(nodes.slice(0, maxDrawn)), place.peer);
  fill(byId('tree'), nodes.map((n) => item(`${short(n.peer)}${n.peer === place.peer ? ' (this peer)' : ''}: level ${n.depth}, ` +
    `${n.parent ? 'fed by ' + short(n.parent) : 'begins here'}${n.backup ? ', backup ' + short(n.backup) : ''}`)), '');
}

function hint(place, nodes, atOrigin) {
  if (atOrigin) return nodes.length === 1 ? 'The tree begins here. Nobody else is in it yet.' : `The tree begins here and has ${nodes.length} peers.`;
  if (!place.parent) return 'This peer is looking for a parent.';
  return `This peer is on level ${place.depth}, fed by ${short(place.parent)}${place.backup ? `, with ${short(place.backup)} as backup` : ''}.`;
}

// around makes nodes of what a peer knows: the way from the origin to it, and its children.
function around(place) {
  const nodes = place.path.map((peer, i) => ({ peer, parent: place.path[i - 1], depth: i, children: [] }));
  if (nodes.length === 0) nodes.push({ peer: place.peer, depth: 0, children: [] });
  const self = nodes.at(-1);
  self.backup = place.backup;
  if (place.backup && !nodes.some((n) => n.peer === place.backup)) nodes.push({ peer: place.backup, depth: Math.max(0, self.depth - 1), children: [], aside: true });
  for (const c of place.children) nodes.push({ peer: c.peer, parent: c.kind === 'backup' ? undefined : self.peer, backup: c.kind === 'backup' ? self.peer : undefined, depth: self.depth + 1, children: [] });
  return nodes;
}

// layout gives each peer a place: leaves stand side by side, a parent above the middle of its children. Peers without a parent
// that is known stand beside, on their level.
export function layout(nodes) {
  const byPeer = new Map(nodes.map((n) => [n.peer, n]));
  const children = new Map();
  const roots = [];
  for (const n of nodes) {
    if (n.parent && n.parent !== n.peer && byPeer.has(n.parent)) children.set(n.parent, [...(children.get(n.parent) || []), n]);
    else roots.push(n);
  }
  const places = new Map();
  let next = 0;
  const put = (n, level) => {
    if (places.has(n.peer)) return;
    places.set(n.peer, null); // so that a ring, which the tree has while it repairs itself, ends
    const below = (children.get(n.peer) || []).sort((a, b) => (a.peer < b.peer ? -1 : 1));
    below.forEach((c) => put(c, level + 1));
    const xs = below.map((c) => places.get(c.peer)?.x).filter((x) => x !== undefined);
    places.set(n.peer, { x: xs.length ? (xs[0] + xs.at(-1)) / 2 : next++ * wide, y: level * high, node: n });
  };
  roots.sort((a, b) => a.depth - b.depth || (a.peer < b.peer ? -1 : 1)).forEach((n) => put(n, n.depth));
  for (const n of nodes) put(n, n.depth); // what only rings lead to
  return places;
}

function shape(name, attributes, text) {
  const e = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  if (text) e.textContent = text;
  return e;
}

function draw(svg, places, self) {
  const all = [...places.values()].filter(Boolean);
  const width = Math.max(...all.map((p) => p.x), 0) + wide;
  const height = Math.max(...all.map((p) => p.y), 0) + high;
  svg.setAttribute('viewBox', `${-wide / 2} -28 ${width} ${height}`);
  svg.setAttribute('width', width);
  svg.setAttribute('height', height);
  svg.style.minWidth = Math.round(0.6 * width) + 'px'; // what is wider still is moved about
  const edges = [];
  const peers = [];
  for (const p of all) {
    const { node } = p;
    for (const [other, kind] of [[node.backup, 'edge backup'], [node.parent, 'edge']]) {
      const q = places.get(other);
      if (!q || q === p) continue;
      const bend = kind === 'edge' ? 0 : 16; // so that a backup's line is seen beside the parent's
      const middle = (p.y + q.y) / 2;
      edges.push(shape('path', { class: kind, d: `M${q.x} ${q.y}C${q.x + bend} ${middle} ${p.x + bend} ${middle} ${p.x} ${p.y}` }));
    }
    const g = shape('g', { class: ['peer', node.depth === 0 && !node.aside ? 'first' : '', node.peer === self ? 'self' : ''].join(' ').trim() });
    g.append(
      shape('title', {}, node.peer), shape('circle', { cx: p.x, cy: p.y, r: 15 }),
      shape('text', { x: p.x, y: p.y + 5, class: 'level' }, String(node.depth)),
      shape('text', { x: p.x, y: p.y + 34 }, node.peer === self ? 'this peer' : short(node.peer)),
    );
    peers.push(g);
  }
  svg.replaceChildren(...edges, ...peers);
}
