// What is on, who is on stage, and which peers this one is connected to.

import { byId, fill, item, short } from './dom.js';

export function showInfo(info) {
  byId('room-title').textContent = info.title || info.name;
  byId('room-name').textContent = [info.title ? info.name : '', info.mode, info.private ? 'private' : ''].filter(Boolean).join(' · ');
  byId('audience').textContent = info.audience;
  document.title = (info.title || info.name) + ' · castd';
  showHearers(info);
  fill(byId('streams'), info.streams.map((s) => {
    const li = item(`${s.slot}: ${s.kind} ${s.codec} `);
    const badge = document.createElement('span');
    badge.className = s.state === 'live' ? 'badge on' : 'badge';
    badge.textContent = s.state;
    li.append(badge);
    return li;
  }), 'Nothing is being sent.');
  fill(byId('participants'), info.participants.filter((p) => !p.audience).map((p) => item(`${p.name || short(p.participant)} (${p.waiting ? 'waiting' : p.roles.join(', ')})`)), 'Nobody');
}

// showHearers says who else hears what is said: who records the room, and who mixes it.
function showHearers(info) {
  const called = (id, name) => name || info.participants.find((p) => p.participant === id && p.name)?.name || short(id);
  const records = [...new Set((info.recording || []).map((r) => called(r.participant || r.peer, r.name)))];
  byId('recorded').textContent = 'Recorded by ' + records.join(', ');
  byId('recorded').hidden = !records.length;
  const at = info.mixer?.peer;
  byId('mixed').hidden = !info.mixer?.readable;
  if (!info.mixer?.readable) return;
  const peers = [at, ...(info.mixer.further || [])].map(short).join(', ');
  byId('mixed').textContent = `Mixed by the peer${info.mixer.further ? 's' : ''} ${peers}${info.mixer.standby ? `, with ${short(info.mixer.standby)} standing by` : ''}, who can hear it.`;
}

const rate = (bps) => (bps >= 950000 ? (bps / 1e6).toFixed(1) + '\u00a0Mbit/s' : Math.round((bps || 0) / 1000) + '\u00a0kbit/s');

const roles = { parent: 'feeds this peer', child: 'is fed by this peer', backup: 'is a backup', publisher: 'sends' };

// showPeers lists the peers that this one is connected to, those first that media flows to or from.
export function showPeers(peers, room) {
  byId('peers-panel').hidden = !peers;
  if (!peers) return;
  const here = (p) => (p.rooms || []).includes(room);
  const sorted = [...peers].sort((a, b) => here(b) - here(a) || Boolean(b.role) - Boolean(a.role) || (a.peer < b.peer ? -1 : 1));
  fill(byId('peers'), sorted.map((p) => {
    const li = item('');
    const id = document.createElement('span');
    id.className = 'mono';
    id.textContent = short(p.peer);
    id.title = p.peer;
    const facts = [
      roles[p.role] || p.role || (p.hop ? 'connected for media' : 'known'), p.rtt_ms ? Math.round(p.rtt_ms) + '\u00a0ms' : '', p.down_bps > 999 ? '↓\u00a0' + rate(p.down_bps) : '',
      p.up_bps > 999 ? '↑\u00a0' + rate(p.up_bps) : '', p.loss_permille ? (p.loss_permille / 10).toFixed(1) + ' % lost' : '',
    ];
    li.append(id, ' ' + facts.filter(Boolean).join(' · '));
    return li;
  }), 'This peer knows no other yet.');
}

const told = 200; // events that stay in the list

export function showEvent(log, ev) {
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
