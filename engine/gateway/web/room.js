// The page of a room.

import { events, get, post, token } from './api.js';
import { byId, copy, fill, item, notice, short, whenever } from './dom.js';
import { Sender, whyNoDevices } from './live.js';
import { Watcher } from './watch.js';

// showRoom shows a room for as long as the page lives. expired is called when the token does not hold.
export async function showRoom(name, expired) {
  const path = 'rooms/' + encodeURIComponent(name);
  byId('room').hidden = false;
  byId('room-title').textContent = name;
  document.title = name + ' · castd';

  const watcher = playing(name, expired);
  let ready = false;

  const refresh = whenever(async () => {
    let info;
    try {
      info = await get(path);
    } catch (err) {
      watcher.away = err.status === 0;
      if (err.status === 401) expired(err.message);
      return;
    }
    watcher.away = false;
    if (!ready) {
      ready = true;
      byId('panels').hidden = byId('room-line').hidden = false;
      if (info.allowed.includes('speak')) sending(name, watcher);
      inviting(name, path, info);
    }
    showInfo(info);
    watcher.on = info.streams.some((s) => s.state === 'live');
    if (info.allowed.includes('admin')) showTree(await get(path + '/tree').catch(() => null), path);
  });
  await refresh();
  watcher.start();

  const log = byId('events');
  events(name, refresh, (ev) => {
    showEvent(log, ev);
    if (ev.event === 'error' && ev.code === 'no_common_codec') watcher.refuse('This browser cannot play what the room sends. Try another browser.');
    if (ev.event === 'stream' && ev.state === 'live') {
      watcher.on = true;
      if (watcher.refusal) watcher.start(); // this one may fit
    }
    if (ev.event !== 'gap' && ev.event !== 'stats') refresh();
  }, new AbortController().signal);
  setInterval(() => { if (!document.hidden) refresh(); }, 5000);
}

// playing wires the player and its controls.
function playing(name, expired) {
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

// sending wires the panel for going live.
function sending(name, watcher) {
  byId('send').hidden = false;
  const why = whyNoDevices();
  if (why) {
    notice(byId('send-why'), why);
    byId('send-form').hidden = true;
    return;
  }
  const go = byId('go-live');
  const stop = byId('stop-live');
  const check = byId('check-devices');
  const who = byId('who');
  try {
    who.value = localStorage.getItem('castd-name') || '';
  } catch { /* then it is typed again */ }
  const say = (state, text) => {
    byId('live-state').dataset.state = state;
    byId('live-text').textContent = text;
    const busy = state === 'connecting' || state === 'live';
    go.hidden = check.hidden = busy;
    stop.hidden = !busy;
    who.disabled = busy;
  };
  const sender = new Sender({
    room: name, preview: byId('preview'), level: byId('level'), camera: byId('camera'), microphone: byId('microphone'), say,
    name: () => who.value.trim(),
  });
  go.addEventListener('click', () => {
    try {
      localStorage.setItem('castd-name', who.value.trim());
    } catch { /* then it is typed again */ }
    watcher.player.muted = true; // or the own voice would come back
    byId('unmute').hidden = true;
    sender.start();
  });
  stop.addEventListener('click', () => sender.stop());
  check.addEventListener('click', async () => {
    try {
      await sender.open();
      say('idle', 'This is what the room would get. You are not sending.');
    } catch (err) {
      say('error', err.message);
    }
  });
  sender.list();
}

// inviting wires the panels with links.
function inviting(name, path, info) {
  const admin = info.allowed.includes('admin');
  for (const e of document.querySelectorAll('[data-admin]')) e.hidden = !admin;
  const link = byId('invite-link');
  const qr = byId('invite-qr');
  const show = async (text, svg) => {
    byId('invite-result').hidden = false;
    link.value = text;
    qr.hidden = !svg;
    if (svg) qr.src = 'data:image/svg+xml,' + encodeURIComponent(svg);
    const copied = await copy(text, link);
    notice(byId('invite-message'), copied ? 'Copied. Pass it on to whom you want here.' : 'Copy this link, and pass it on.', true);
  };
  const make = (spec) => async () => {
    try {
      const made = await post(path + '/invites', { ...spec, qr: true });
      await show(made.invite || made.url, made.qr);
    } catch (err) {
      notice(byId('invite-message'), err.message);
    }
  };
  if (!admin) {
    byId('invite-hint').textContent = 'Whoever has this link may do in this room what you may.';
    byId('copy-invite').addEventListener('click', () => show(location.origin + location.pathname + '#token=' + token()));
    return;
  }
  byId('copy-invite').addEventListener('click', make({}));
  byId('copy-guest').addEventListener('click', make({ guest: true }));
  byId('copy-speaker').addEventListener('click', make({ guest: true, speak: true }));
  byId('obs-server').value = location.origin + '/whip/' + encodeURIComponent(name);
  byId('obs-make').addEventListener('click', async () => {
    try {
      const made = await post(path + '/tokens', { speak: true, expires: '8760h' });
      byId('obs-token').value = made.token;
      const copied = await copy(made.token, byId('obs-token'));
      notice(byId('obs-message'), (copied ? 'Copied. ' : '') + 'It lets whoever has it send into this room for a year.', true);
    } catch (err) {
      notice(byId('obs-message'), err.message);
    }
  });
  for (const e of document.querySelectorAll('input[readonly]')) e.addEventListener('focus', () => e.select());
}

function showInfo(info) {
  byId('room-title').textContent = info.title || info.name;
  byId('room-name').textContent = info.title ? info.name : info.mode;
  byId('audience').textContent = info.audience;
  document.title = (info.title || info.name) + ' · castd';
  fill(byId('streams'), info.streams.map((s) => {
    const li = item(`${s.kind} ${s.codec}, ${s.slot} `);
    const badge = document.createElement('span');
    badge.className = s.state === 'live' ? 'badge on' : 'badge';
    badge.textContent = s.state;
    li.append(badge);
    return li;
  }), 'Nothing is being sent.');
  fill(byId('participants'), info.participants.map((p) => item(`${p.name || short(p.participant)} (${p.roles.join(', ')})`)), 'Nobody');
}

// showTree shows the whole tree at its origin, elsewhere this peer's place in it.
async function showTree(place, path) {
  if (!place) return;
  const hint = byId('tree-hint');
  const list = byId('tree');
  if (place.depth === 0 && place.path.length === 1) {
    const { nodes } = await get(path + '/tree?scope=room').catch(() => ({ nodes: [place] }));
    hint.textContent = nodes.length === 1 ? 'The tree begins here. Nobody else is in it yet.' : `The tree begins here and has ${nodes.length} peers.`;
    fill(list, nodes.map((n) => indent(item(`${short(n.peer)} · level ${n.depth} · feeds ${n.children.length}`), n.depth)), '');
    return;
  }
  hint.textContent = place.parent ? `Level ${place.depth}, fed by ${short(place.parent)}${place.backup ? `, backup ${short(place.backup)}` : ''}.` : 'This peer is looking for a parent.';
  fill(list, place.children.map((c) => item(`feeds ${short(c.peer)} (${c.kind})`)), 'It feeds nobody yet.');
}

function indent(li, depth) {
  li.style.paddingInlineStart = Math.min(depth, 12) + 'rem';
  return li;
}

const told = 200; // events that stay in the list

function showEvent(log, ev) {
  const li = document.createElement('li');
  const time = document.createElement('time');
  time.dateTime = ev.time || '';
  time.textContent = ev.time ? new Date(ev.time).toLocaleTimeString() : '';
  const rest = Object.entries(ev).filter(([k]) => !['event', 'time', 'room'].includes(k));
  const value = (k, v) => (k === 'peer' || k === 'parent' || k === 'backup' || k === 'stream' || k === 'participant' ? short(String(v)) : String(v));
  li.append(time, [ev.event, ...rest.map(([k, v]) => `${k} ${value(k, v)}`)].join(' · '));
  log.prepend(li);
  while (log.childElementCount > told) log.lastElementChild.remove();
}
