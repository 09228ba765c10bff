// The panel in which the administrator has the room recorded.

import { get, post, request } from './api.js';
import { byId, fill, item, notice } from './dom.js';

const shown = 5; // recordings that are listed

// recording shows the panel where this peer records, and returns what brings it up to date.
export function recording(room, path) {
  const button = byId('record-button');
  let on = false;
  const show = async () => {
    let all;
    try {
      all = await get('recordings?room=' + encodeURIComponent(room));
    } catch (err) {
      if (err.status === 404) byId('record').hidden = true;
      return;
    }
    byId('record').hidden = false;
    const now = all.find((r) => r.state === 'recording');
    on = Boolean(now);
    button.textContent = on ? 'Stop recording' : 'Record';
    button.classList.toggle('danger', on);
    byId('record-tracks-line').hidden = on;
    fill(byId('recordings'), all.slice(0, shown).map((r) => {
      const li = item(`${new Date(r.started).toLocaleString()}, ${length(r.duration_ms)}, ${(r.bytes / 1e6).toFixed(1)} MB `);
      li.title = r.folder;
      const badge = document.createElement('span');
      badge.className = r === now ? 'badge on' : 'badge';
      badge.textContent = r.state;
      li.append(badge);
      return li;
    }), 'Nothing was recorded yet.');
    if (now?.problem) notice(byId('record-message'), now.problem);
  };
  button.addEventListener('click', async () => {
    button.disabled = true;
    try {
      if (on) {
        const made = await (await request('/api/v1/' + path + '/recording', { method: 'DELETE', timeout: 20000 })).json();
        notice(byId('record-message'), 'It is in ' + made.folder + ' on the machine of this peer.', true);
      } else {
        await post(path + '/recording', { tracks: byId('record-tracks').checked });
        notice(byId('record-message'), 'Everybody here is told.', true);
      }
    } catch (err) {
      notice(byId('record-message'), err.message);
    }
    button.disabled = false;
    await show();
  });
  show();
  return show;
}

function length(ms) {
  const s = Math.round(ms / 1000);
  return [Math.floor(s / 3600), Math.floor(s / 60) % 60, s % 60].map((n) => String(n).padStart(2, '0')).join(':');
}
