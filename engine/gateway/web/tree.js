// Draws the room's tree, live: at its origin all of it, elsewhere the way to this peer and what is below it.

import { get } from './api.js';
import { grow, high, layout, news, unfold, wide } from './branches.js';
import { byId, fill, item, short } from './dom.js';

const calm = globalThis.matchMedia?.('(prefers-reduced-motion: reduce)') || {};
const glide = 600; // milliseconds that a move takes
const told = 6000; // and that a change stays marked

const wish = new Map(); // peers that a person has opened or closed
const marked = new Map(); // peers that have moved, and until when they are marked
let known = null; // places, as they were told last
let place = null;
let timer = 0;
let frame = 0;
const drawn = new Map(); // what is on the drawing, by key: places now and before, and elements

// showTree draws what the peer knows of the tree, and goes on doing so while the drawing can be seen.
export async function showTree(own, path) {
  byId('tree-panel').hidden = !own;
  clearTimeout(timer);
  if (!own) return;
  const nodes = (await get(path + '/tree?scope=known').catch(() => null))?.nodes || [own];
  place = own;
  const changed = known ? news(known, nodes, short) : { moved: [], text: '' };
  known = nodes;
  const now = performance.now();
  for (const peer of changed.moved) marked.set(peer, now + told);
  if (changed.text) byId('tree-news').textContent = changed.text;
  draw();
  clearTimeout(timer);
  // Where there is much to tell, it is asked for less often.
  timer = setTimeout(async () => {
    if (!document.hidden) showTree(await get(path + '/tree').catch(() => place), path);
  }, 1500 + 10 * nodes.length);
}

function hint() {
  const self = known.find((n) => n.peer === place.peer) || place;
  if (place.depth === 0 && place.path.length === 1) {
    if (!self.below) return 'The tree begins here. Nobody else is in it yet.';
    const free = known.reduce((sum, n) => sum + (n.free || 0), 0);
    const levels = Math.max(...known.map((n) => n.depth));
    return `The tree begins here and has ${self.below + 1} peers on ${levels} level${levels === 1 ? '' : 's'} below this one, ${free} place${free === 1 ? '' : 's'} free.`;
  }
  if (!place.parent) return 'This peer is looking for a parent.';
  return `This peer is on level ${place.depth}, fed by ${short(place.parent)}${place.backup ? `, with ${short(place.backup)} as backup` : ''}.`;
}

// about says what is known of a peer, in words.
function about(n) {
  const parts = [`level ${n.depth}`, n.parent ? 'fed by ' + short(n.parent) : n.depth === 0 && n.path?.length < 2 ? 'begins here' : 'without a parent'];
  if (n.backup) parts.push('backup ' + short(n.backup));
  if (n.slots) parts.push(`feeds ${n.slots - (n.free || 0)} of ${n.slots}`);
  if (n.delay_ms) parts.push(`${n.delay_ms} ms from the origin`);
  if (n.audience) parts.push(`${n.audience} listening`);
  if (n.below) parts.push(`${n.below} below`);
  if (n.repairing) parts.push('looks for a new parent');
  return `${short(n.peer)}${n.peer === place.peer ? ' (this peer)' : ''}: ${parts.join(', ')}`;
}

function draw() {
  const svg = byId('tree-drawing');
  const forest = grow(withBackups());
  const columns = Math.max(5, Math.floor(((svg.parentElement.clientWidth || 600) - 16) / 54));
  const places = layout(forest, unfold(forest, place.peer, columns, wish));
  byId('tree-hint').textContent = hint();
  svg.setAttribute('aria-label', byId('tree-hint').textContent);
  fill(byId('tree'), known.slice(0, 400).map((n) => item(about(n))), '');
  if (known.length > 400) byId('tree').append(item(`and ${known.length - 400} more`));
  const all = [...places.values()];
  const width = Math.max(...all.map((p) => p.x)) + wide;
  const height = Math.max(...all.map((p) => p.y)) + high;
  svg.setAttribute('viewBox', `${-wide / 2} -28 ${width} ${height}`);
  svg.setAttribute('width', width);
  svg.setAttribute('height', height);
  svg.style.minWidth = Math.round(0.75 * width) + 'px'; // what is wider still is moved about
  move(svg, places);
}

// withBackups adds the peers that are known as backups only.
function withBackups() {
  const extra = new Map();
  const has = new Set(known.map((n) => n.peer));
  const self = known.find((n) => n.peer === place.peer);
  if (place.backup && !has.has(place.backup)) extra.set(place.backup, { peer: place.backup, depth: Math.max(1, place.depth - 1), aside: true });
  for (const c of self?.children || []) {
    if (c.kind === 'backup' && !has.has(c.peer)) extra.set(c.peer, { peer: c.peer, backup: place.peer, depth: place.depth + 1, aside: true });
  }
  return [...known, ...extra.values()];
}

function shape(name, attributes, text) {
  const e = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  if (text) e.textContent = text;
  return e;
}

// move moves everything from where it is to where it is to be. Who is new comes out of the parent; who is gone fades.
function move(svg, places) {
  const now = performance.now();
  for (const [key, p] of places) {
    let d = drawn.get(key);
    if (!d) {
      const from = drawn.get(p.parent) || p;
      d = { x: from.x, y: from.y, group: shape('g', {}), edge: shape('path', {}), spare: shape('path', {}) };
      drawn.set(key, d);
      svg.prepend(d.spare, d.edge);
      svg.append(d.group);
    }
    Object.assign(d, { from: { x: d.x, y: d.y }, to: p, gone: false });
    dress(key, d, p, now);
  }
  for (const [key, d] of drawn) {
    if (places.has(key)) continue;
    Object.assign(d, { from: { x: d.x, y: d.y }, to: d, gone: true });
    d.group.setAttribute('class', 'peer gone');
    d.edge.setAttribute('class', 'edge gone');
    d.spare.setAttribute('d', '');
  }
  cancelAnimationFrame(frame);
  const begin = now;
  const step = (at) => {
    const t = calm.matches ? 1 : Math.min(1, Math.max(0, at - begin) / glide);
    const ease = t * t * (3 - 2 * t);
    for (const d of drawn.values()) {
      d.x = d.from.x + (d.to.x - d.from.x) * ease;
      d.y = d.from.y + (d.to.y - d.from.y) * ease;
    }
    for (const [key, d] of drawn) {
      d.group.setAttribute('transform', `translate(${d.x.toFixed(1)} ${d.y.toFixed(1)})`);
      if (d.gone) {
        if (t === 1) {
          d.group.remove();
          d.edge.remove();
          d.spare.remove();
          drawn.delete(key);
        }
        continue;
      }
      d.edge.setAttribute('d', line(drawn.get(d.to.parent), d, 0));
      d.spare.setAttribute('d', line(drawn.get(d.to.node?.backup), d, 14)); // beside the parent's
    }
    if (t < 1) frame = requestAnimationFrame(step);
  };
  step(calm.matches ? begin + glide : begin);
  frame = requestAnimationFrame(step);
}

function line(from, to, bend) {
  if (!from || from === to) return '';
  const middle = (from.y + to.y) / 2;
  return `M${from.x.toFixed(1)} ${from.y.toFixed(1)}C${(from.x + bend).toFixed(1)} ${middle.toFixed(1)} ${(to.x + bend).toFixed(1)} ${middle.toFixed(1)} ${to.x.toFixed(1)} ${to.y.toFixed(1)}`;
}

// dress gives a peer's group its look.
function dress(key, d, p, now) {
  const { node: n } = p;
  if (marked.get(key) < now) marked.delete(key);
  const state = n?.repairing ? ' repairing' : marked.has(key) ? ' moved' : '';
  d.edge.setAttribute('class', 'edge' + state);
  d.spare.setAttribute('class', 'edge backup');
  if (!n) {
    d.group.setAttribute('class', 'peer more');
    return press(d, [shape('circle', { r: 13 }), shape('text', { y: 4, class: 'level' }, '+' + p.hidden)], `${p.hidden} more below ${short(p.parent)}`, p.parent, true);
  }
  d.group.setAttribute('class', ['peer', n.depth === 0 && !n.aside ? 'first' : '', n.peer === place.peer ? 'self' : '', n.count ? '' : 'leaf', n.aside ? 'aside' : ''].filter(Boolean).join(' ') + state);
  const parts = [
    shape('title', {}, `${n.peer}\n${about(n)}`), shape('circle', { r: n.count || n.peer === place.peer ? 15 : 11 }),
    shape('text', { y: 5, class: 'level' }, String(n.depth)), shape('text', { y: 31 }, n.peer === place.peer ? 'this peer' : short(n.peer)),
  ];
  if (p.folded) parts.push(shape('text', { y: 44, class: 'count' }, `+${p.folded}`));
  press(d, parts, about(n), n.kids?.length || p.folded ? n.peer : '', p.folded > 0);
}

// press makes a group one that opens or closes a branch, where peer is not empty.
function press(d, parts, label, peer, closed) {
  d.group.replaceChildren(...parts);
  d.group.setAttribute('aria-label', label);
  d.group.setAttribute('role', peer ? 'button' : 'img');
  if (!peer) {
    d.group.removeAttribute('tabindex');
    d.group.removeAttribute('aria-expanded');
    d.act = null;
    return;
  }
  d.group.setAttribute('tabindex', '0');
  d.group.setAttribute('aria-expanded', String(!closed));
  d.act = () => {
    wish.set(peer, closed);
    draw();
  };
  d.group.onclick = () => d.act?.();
  d.group.onkeydown = (ev) => {
    if (ev.key !== 'Enter' && ev.key !== ' ') return;
    ev.preventDefault();
    d.act?.();
  };
}
