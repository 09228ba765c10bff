// The first page: the rooms of this peer.

import { get, post } from './api.js';
import { byId, fill, notice } from './dom.js';

// showHome shows the rooms, if the token is the administrator's.
export async function showHome(expired) {
  byId('home').hidden = false;
  const refresh = async () => {
    try {
      const [status, rooms] = await Promise.all([get('status'), get('rooms')]);
      byId('peer-line').textContent = `castd ${status.version} · ${status.peers} peers`;
      fill(byId('rooms'), rooms.map(card), 'This peer is in no room yet. Open one below.');
      byId('rooms').querySelector('.none')?.classList.add('card', 'empty');
      notice(byId('home-message'), '');
    } catch (err) {
      if (err.status === 401) return expired(err.message);
      if (err.status === 403) {
        byId('new-room').hidden = true;
        return notice(byId('home-message'), 'Your token is for one room: open the link that you were given again.');
      }
      notice(byId('home-message'), err.message);
    }
  };
  byId('new-room').addEventListener('submit', async (e) => {
    e.preventDefault();
    const field = byId('new-room-name');
    const button = e.submitter;
    button.disabled = true;
    notice(byId('new-room-message'), 'Looking for that room', true);
    try {
      const link = field.value.includes('://');
      const made = await post('rooms', { room: field.value.trim(), create: !link });
      location.assign('/r/' + encodeURIComponent(made.name));
    } catch (err) {
      notice(byId('new-room-message'), err.message);
    } finally {
      button.disabled = false;
    }
  });
  await refresh();
  setInterval(() => { if (!document.hidden) refresh(); }, 5000);
}

function element(tag, className, text) {
  const e = document.createElement(tag);
  e.className = className;
  e.textContent = text;
  return e;
}

function card(info) {
  const li = element('li', 'card', '');
  const on = info.streams.some((s) => s.state === 'live');
  const head = element('h2', '', (info.title || info.name) + ' ');
  head.append(element('span', on ? 'badge on' : 'badge', on ? 'live' : 'quiet'));
  const open = element('a', 'open', 'Open');
  open.href = '/r/' + encodeURIComponent(info.name);
  open.setAttribute('aria-label', 'Open room ' + info.name);
  const row = element('p', 'row', '');
  row.append(open);
  li.append(
    head,
    element('p', 'quiet', `${info.name} · ${info.mode} · ${info.role === 'owner' ? 'yours' : 'joined'} · ${info.audience} listening`),
    element('p', 'quiet mono', `OBS: ${location.origin}/whip/${encodeURIComponent(info.name)}, bearer token in the room`),
    row,
  );
  return li;
}
