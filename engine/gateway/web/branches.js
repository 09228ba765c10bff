// Where the peers of a tree stand in its drawing, and which branches are folded. Nothing here needs a page.

export const wide = 72; // of a peer, in units of the drawing
export const high = 84; // of a level

// grow makes of places, as the API tells them, a forest: peers with their children, the largest branch first. Rings, which there are
// while the tree repairs itself, are opened.
export function grow(nodes) {
  const byPeer = new Map(nodes.map((n) => [n.peer, { ...n, kids: [], count: 0 }]));
  const up = new Map();
  const roots = [];
  for (const n of byPeer.values()) {
    let at = byPeer.get(n.parent);
    for (const seen = new Set([n]); at && !seen.has(at); at = up.get(at)) seen.add(at);
    const parent = byPeer.get(n.parent);
    if (parent && !at) {
      up.set(n, parent);
      parent.kids.push(n);
    } else roots.push(n);
  }
  const before = (a, b) => b.count - a.count || (b.slots || 0) - (a.slots || 0) || (a.peer < b.peer ? -1 : 1);
  const tell = (n, level) => {
    n.level = level;
    n.count = Math.max(n.below || 0, n.kids.reduce((sum, c) => sum + tell(c, level + 1) + 1, 0));
    n.kids.sort(before);
    return n.count;
  };
  roots.forEach((n) => tell(n, n.depth));
  roots.sort((a, b) => a.depth - b.depth || before(a, b));
  return { roots, byPeer };
}

const leaves = 4; // that are drawn one by one where there is no room for all

// unfold decides which peers' children are drawn, so that the drawing is at most so many peers wide: the way to self first, then the
// largest branches. wish says of some peers that a person wants it so, or not.
export function unfold({ roots, byPeer }, self, columns, wish = new Map()) {
  const open = new Map();
  let used = roots.length;
  const way = new Set(byPeer.get(self)?.path || [self]);
  const parts = (n, most) => {
    const few = n.kids.filter((c) => c.count > 0 || way.has(c.peer)).sort((a, b) => way.has(b.peer) - way.has(a.peer));
    const rest = n.kids.filter((c) => !few.includes(c));
    const shown = [...few, ...rest].slice(0, most ?? Math.min(Math.max(columns - used, 1), Math.min(few.length, 8) + leaves));
    return { shown, hidden: Math.max(n.count - shown.reduce((sum, c) => sum + c.count + 1, 0), 0) };
  };
  const show = (n, p) => {
    used += p.shown.length + (p.hidden ? 1 : 0) - 1;
    open.set(n.peer, p);
    return p.shown;
  };
  const ready = [...roots];
  while (ready.length) {
    let best = 0;
    ready.forEach((n, i) => {
      const rank = (m) => (way.has(m.peer) || m.peer === self ? 2e9 : 0) + (wish.get(m.peer) ? 1e9 : 0) + m.count;
      if (rank(n) > rank(ready[best])) best = i;
    });
    const [n] = ready.splice(best, 1);
    if (!n.kids.length || wish.get(n.peer) === false) continue;
    const whole = parts(n, 60);
    const part = parts(n);
    const fits = (p) => used - 1 + p.shown.length + (p.hidden ? 1 : 0) <= columns;
    if (wish.get(n.peer) || fits(whole)) ready.push(...show(n, whole));
    else if (way.has(n.peer) || part.shown.length > 1 && fits(part)) ready.push(...show(n, part));
  }
  return open;
}

// layout gives each peer that is drawn a place: leaves side by side, a parent above the middle of its children. What is folded has
// one place with the name of the parent and a sign.
export function layout({ roots }, open) {
  const places = new Map();
  let next = 0;
  const put = (n, level) => {
    const p = open.get(n.peer);
    const xs = (p?.shown || []).map((c) => put(c, level + 1));
    if (p?.hidden) {
      const x = next++ * wide;
      places.set(n.peer + '+', { x, y: (level + 1) * high, parent: n.peer, hidden: p.hidden });
      xs.push(x);
    }
    const x = xs.length ? (xs[0] + xs.at(-1)) / 2 : next++ * wide;
    places.set(n.peer, { x, y: level * high, node: n, parent: n.parent, folded: p ? 0 : n.count });
    return x;
  };
  roots.forEach((n) => put(n, n.level));
  return places;
}

// news says what has changed between two lists of places: sentences, and the peers that moved.
export function news(before, after, name) {
  const old = new Map(before.map((n) => [n.peer, n]));
  const now = new Map(after.map((n) => [n.peer, n]));
  const come = after.filter((n) => !old.has(n.peer));
  const gone = before.filter((n) => !now.has(n.peer));
  const moved = after.filter((n) => old.has(n.peer) && n.parent !== old.get(n.peer).parent);
  const say = (list, one, many) => (list.length === 1 ? [one(list[0])] : list.length ? [`${list.length} peers ${many}.`] : []);
  return {
    moved: moved.map((n) => n.peer),
    text: [
      ...say(gone, (n) => `${name(n.peer)} is gone.`, 'are gone'),
      ...say(moved, (n) => `${name(n.peer)} is now fed by ${name(n.parent || '')}.`, 'have a new parent'),
      ...say(come, (n) => `${name(n.peer)} has come.`, 'have come'),
    ].join(' '),
  };
}
