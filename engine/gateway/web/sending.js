// The panel for going live: with camera and microphone in one slot, with a screen in another, at the same time if wanted.

import { canShare, Devices, Screen, whyNoDevices } from './devices.js';
import { byId, forGood, forTab, notice, store } from './dom.js';
import { Sender } from './live.js';

const slotForm = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const resumable = 30000; // milliseconds in which a slot waits for its sender

// sending wires the panel, and returns its senders.
export function sending(name, watcher) {
  byId('send').hidden = false;
  const why = whyNoDevices(name);
  if (why) {
    notice(byId('send-why'), why);
    byId('send-form').hidden = true;
    return [];
  }
  const who = byId('who');
  const slot = byId('slot');
  who.value = store(forGood, 'castd-name');
  slot.value = store(forTab, 'castd-slot') || 'main';
  const nameOf = () => who.value.trim();
  const slotOf = () => (slotForm.test(slot.value.trim()) ? slot.value.trim() : 'main');
  // begin is what every going live begins with.
  const begin = (sender) => {
    store(forGood, 'castd-name', nameOf());
    store(forTab, 'castd-slot', slotOf());
    watcher.player.muted = true; // or the own voice would come back
    byId('unmute').hidden = true;
    sender.start();
  };
  const camera = sendingCamera(name, { nameOf, slotOf, begin, who, slot });
  if (!canShare()) return [camera];
  return [camera, sendingScreen(name, { nameOf, slotOf, begin })];
}

function sendingCamera(room, { nameOf, slotOf, begin, who, slot }) {
  const go = byId('go-live');
  const stop = byId('stop-live');
  const check = byId('check-devices');
  const mark = 'castd-live-' + room; // when this tab was live last
  const say = (state, text) => {
    byId('live-state').dataset.state = state;
    byId('live-text').textContent = text;
    const busy = state === 'connecting' || state === 'live';
    go.hidden = check.hidden = busy;
    stop.hidden = !busy;
    who.disabled = slot.disabled = busy;
    go.textContent = 'Go live';
    if (state === 'live') store(forTab, mark, String(Date.now()));
  };
  const source = new Devices({ preview: byId('preview'), level: byId('level'), camera: byId('camera'), microphone: byId('microphone') });
  const sender = new Sender({ room, source, say, name: nameOf, slot: slotOf });
  const tell = (text) => say(sender.live ? 'live' : 'error', text);
  source.changed = (media) => sender.swap(media);
  source.lost = tell;
  source.failed = tell;
  go.addEventListener('click', () => begin(sender));
  stop.addEventListener('click', () => {
    store(forTab, mark, '');
    sender.stop();
  });
  check.addEventListener('click', async () => {
    try {
      await source.open();
      say('idle', 'This is what the room would get. You are not sending.');
    } catch (err) {
      say('error', err.message);
    }
  });
  setInterval(() => { if (sender.live) store(forTab, mark, String(Date.now())); }, 5000);
  if (Date.now() - Number(store(forTab, mark) || 0) < resumable) {
    say('idle', 'You were live until just now, and the room waits for you.');
    go.textContent = 'Go on';
  }
  source.list();
  return sender;
}

function sendingScreen(room, { nameOf, slotOf, begin }) {
  const share = byId('share-screen');
  const stop = byId('stop-screen');
  byId('screen-form').hidden = false;
  const say = (state, text) => {
    byId('screen-state').dataset.state = state;
    byId('screen-text').textContent = state === 'live' ? 'Your screen is in the room.' : state === 'idle' ? '' : text;
    byId('screen-state').hidden = state === 'idle';
    const busy = state === 'connecting' || state === 'live';
    share.hidden = busy;
    stop.hidden = !busy;
    byId('screen-voice').disabled = busy;
  };
  const source = new Screen({ microphone: byId('screen-voice') });
  // Beside a camera in a slot of another name, the screen's slot has that name in front.
  const sender = new Sender({ room, source, say, name: nameOf, slot: () => (slotOf() === 'main' ? 'screen' : (slotOf() + '-screen').slice(0, 64)) });
  source.lost = () => sender.stop();
  share.addEventListener('click', () => begin(sender));
  stop.addEventListener('click', () => sender.stop());
  return sender;
}
