// The page of a room.

import { events, get } from './api.js';
import { byId, whenever } from './dom.js';
import { inviting } from './inviting.js';
import { showEvent, showInfo, showPeers } from './people.js';
import { choosing, playing } from './player.js';
import { showTree } from './tree.js';
import { onWake } from './wake.js';

// showRoom shows a room for as long as the page lives. expired is called when the token does not hold.
export async function showRoom(name, expired) {
  const path = 'rooms/' + encodeURIComponent(name);
  byId('room').hidden = false;
  byId('room-title').textContent = name;
  document.title = name + ' · castd';

  const watcher = playing(name, expired);
  const choose = choosing(watcher);
  let senders = [];
  let recordings = () => {}; // looks at them again
  let update = () => {}; // takes what the API tells, where the room is a conference
  let ready = false;

  // begin shows the panels of the room, of which some are loaded where they are needed.
  const begin = async (info) => {
    if (info.mode === 'conference') {
      const { calling } = await import('./calling.js');
      const part = await calling(name, info, watcher);
      if (part.call) senders = [part.call];
      update = part.update;
    } else if (info.allowed.includes('speak')) {
      const { sending } = await import('./sending.js');
      senders = sending(name, watcher);
    }
    byId('panels').hidden = byId('room-line').hidden = false;
    inviting(name, path, info);
    if (info.allowed.includes('admin')) {
      const { recording } = await import('./recording.js');
      recordings = recording(info.room, path);
    }
  };

  const refresh = whenever(async () => {
    let info;
    try {
      info = await get(path);
    } catch (err) {
      watcher.away = err.status === 0;
      if (err.status === 401) expired(err.message);
      else if (!ready) setTimeout(refresh, 1000);
      return;
    }
    watcher.away = false;
    if (!ready) {
      try {
        await begin(info);
      } catch {
        setTimeout(refresh, 1000); // the peer has gone meanwhile, and in a quiet room nothing else asks again
        return;
      }
      ready = true;
    }
    showInfo(info);
    choose(info);
    update(info);
    if (!info.allowed.includes('admin')) return;
    const [place, peers] = await Promise.all([get(path + '/tree').catch(() => null), get('peers').catch(() => null)]);
    showPeers(peers, info.room);
    await showTree(place, path);
  });
  await refresh();
  watcher.start();

  const log = byId('events');
  const anew = events(name, refresh, (ev) => {
    showEvent(log, ev);
    if (ev.event === 'error' && ev.code === 'no_common_codec') watcher.refuse('This browser cannot play what the room sends. Try another browser.');
    if (ev.event === 'error' && ['replaced', 'put_out', 'dismissed'].includes(ev.code)) senders.forEach((s) => s.over(ev.slot, ev.message));
    if (ev.event === 'stream' && ev.state === 'live') {
      if (!watcher.want) watcher.on = true;
      if (watcher.refusal) watcher.start(); // this one may fit
    }
    if (ev.event === 'recording' || ev.event === 'plugin') recordings();
    if (ev.event !== 'gap' && ev.event !== 'stats') refresh();
  });
  onWake((sure) => {
    if (sure) anew();
    watcher.wake(sure);
    senders.forEach((s) => s.wake(sure));
    refresh();
  });
  setInterval(() => { if (!document.hidden) refresh(); }, 5000);
}
