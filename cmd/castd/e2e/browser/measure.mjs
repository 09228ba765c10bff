// Arithmetic of what probe.js saw. Times are milliseconds.

export const round = (x) => Math.round(10 * x) / 10;

export function median(values) {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return round((sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2);
}

// shownAt returns when the clock of a picture showed ms, reckoned from the picture nearest to that; null if none is near.
function shownAt(pictures, ms) {
  let best = null;
  for (const p of pictures) {
    if (!best || Math.abs(p.clock - ms) < Math.abs(best.clock - ms)) best = p;
  }
  return best && Math.abs(best.clock - ms) <= 100 ? best.at + ms - best.clock : null;
}

// lipSync compares when each second was heard and seen. A tone is of the second whose picture is nearest to it, so it sees
// offsets up to half a second. Positive: the picture comes after the sound. The pace of the clock is 1 where the publisher's
// machine keeps up.
export function lipSync(tones, pictures) {
  const offsets = [];
  for (const heard of tones) {
    let near = null;
    for (const p of pictures) {
      if (!near || Math.abs(p.at - heard) < Math.abs(near.at - heard)) near = p;
    }
    if (!near || Math.abs(near.at - heard) > 200) continue;
    const seen = shownAt(pictures, 1000 * Math.round(near.clock / 1000));
    if (seen !== null) offsets.push(round(seen - heard));
  }
  const [a, b] = [pictures[0], pictures.at(-1)];
  const pace = pictures.length > 1 ? Math.round(100 * (b.clock - a.clock) / (b.at - a.at)) / 100 : 0;
  return { offset: median(offsets), offsets, pace };
}

// lag returns how much later than its clock a viewer shows pictures, the median over a time of its own; null if there are none.
function lag(viewer, from, to) {
  return median(viewer.pictures.filter((p) => p.at >= from && p.at < to).map((p) => p.at + viewer.origin - p.clock));
}

// behind returns how far viewer is behind other in a time of viewer's.
export function behind(viewer, other, from, to) {
  const shift = viewer.origin - other.origin;
  const [a, b] = [lag(viewer, from, to), lag(other, from + shift, to + shift)];
  return a === null || b === null ? null : round(a - b);
}
