// The player of a room with its controls.

import { byId } from './dom.js';
import { Watcher } from './watch.js';

// playing wires them, and returns the Watcher.
export function playing(name, expired) {
  const player = byId('player');
  const state = byId('state');
  const text = byId('state-text');
  const volume = byId('volume');
  const again = byId('again');
  const soundOnly = () => {
    byId('sound-only').hidden = !(state.dataset.state === 'live' && player.videoWidth === 0);
  };
  const watcher = new Watcher({
    room: name, player,
    say(kind, sentence, err) {
      if (state.dataset.state !== kind) state.dataset.state = kind;
      if (text.textContent !== sentence) text.textContent = sentence;
      again.hidden = kind !== 'error' && !(kind === 'connecting' && sentence !== 'Connecting');
      soundOnly();
      if (err?.status === 401) expired(err.message);
    },
    measure(sentence) { byId('numbers').textContent = sentence; },
    blocked() { byId('unmute').hidden = false; },
  });
  const sound = () => {
    byId('mute').setAttribute('aria-pressed', String(player.muted));
    byId('mute').setAttribute('aria-label', player.muted ? 'Turn sound on' : 'Mute');
    if (!player.muted) byId('unmute').hidden = true;
    volume.value = player.muted ? 0 : player.volume;
  };
  player.addEventListener('volumechange', sound);
  player.addEventListener('resize', soundOnly);
  player.addEventListener('loadedmetadata', soundOnly);
  const loud = (on) => {
    player.muted = !on;
    if (on && player.volume === 0) player.volume = 1;
    player.play().catch(() => {});
  };
  byId('unmute').addEventListener('click', () => loud(true));
  byId('mute').addEventListener('click', () => loud(player.muted));
  volume.addEventListener('input', () => {
    player.volume = Number(volume.value);
    player.muted = player.volume === 0;
  });
  again.addEventListener('click', () => watcher.start());
  byId('full').addEventListener('click', () => {
    const stage = player.parentElement;
    if (document.fullscreenElement) document.exitFullscreen();
    else if (stage.requestFullscreen) stage.requestFullscreen().catch(() => {});
    else player.webkitEnterFullscreen?.(); // iPhones
  });
  return watcher;
}

// slotsOf lists what can be watched, in the order in which it went live.
export function slotsOf(info) {
  const found = new Map();
  for (const s of info.streams) {
    if (s.state !== 'live') continue;
    const key = s.slot + '\0' + s.participant;
    if (!found.has(key)) found.set(key, { key, slot: s.slot, participant: s.participant });
  }
  const names = new Map(info.participants.map((p) => [p.participant, p.name]));
  return [...found.values()].map((s) => {
    const who = names.get(s.participant);
    return { ...s, label: !who ? s.slot : s.slot === 'main' ? who : `${who}: ${s.slot}` };
  });
}

// choosing shows what can be watched, where there is a choice. The first button follows whatever has been live longest.
export function choosing(watcher) {
  const list = byId('slots');
  const keyOf = (w) => (w ? w.slot + '\0' + w.participant : '');
  let shown = '';
  return (info) => {
    const slots = slotsOf(info);
    const { want } = watcher;
    if (want && !slots.some((s) => s.key === keyOf(want))) slots.push({ ...want, key: keyOf(want), gone: true });
    watcher.on = want ? slots.some((s) => s.key === keyOf(want) && !s.gone) : slots.length > 0;
    byId('choice').hidden = slots.length < 2 && !want;
    const state = JSON.stringify([slots, keyOf(want)]);
    if (state === shown) return;
    shown = state;
    const button = (label, wanted, gone) => {
      const b = document.createElement('button');
      b.type = 'button';
      b.textContent = label;
      b.className = gone ? 'chip gone' : 'chip';
      b.dataset.slot = wanted?.slot || '';
      b.setAttribute('aria-pressed', String(keyOf(wanted) === keyOf(watcher.want)));
      b.addEventListener('click', () => {
        if (keyOf(wanted) === keyOf(watcher.want)) return;
        watcher.show(wanted);
        for (const other of list.children) other.setAttribute('aria-pressed', String(other === b));
      });
      return b;
    };
    const focused = [...list.children].indexOf(document.activeElement);
    list.replaceChildren(button('Automatic', null), ...slots.map((s) => button(s.label, { slot: s.slot, participant: s.participant, label: s.label }, s.gone)));
    list.children[focused]?.focus();
  };
}
