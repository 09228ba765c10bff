// The panel of a conference: joining the call, who is in it, who talks, and how loud each of them is.

import { Call } from './call.js';
import { Devices, whyNoDevices } from './devices.js';
import { byId, notice } from './dom.js';
import { forGood, store } from './sending.js';

// make makes an element.
function make(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  e.append(...children);
  return e;
}

const button = (id, text, kind = '') => make('button', { id, type: 'button', class: kind }, text);

// panel makes the elements, whose ids index.html lists.
function panel() {
  const e = {
    state: make('p', { id: 'call-state', class: 'state plain', role: 'status', 'data-state': 'idle' }, make('i', { 'aria-hidden': 'true' })),
    text: make('span', { id: 'call-text' }, 'You are not in the call.'),
    why: make('p', { id: 'call-why', class: 'notice' }),
    who: make('input', { id: 'call-who', maxlength: '64', autocomplete: 'nickname' }),
    microphone: make('select', { id: 'call-microphone' }, new Option('Microphone', 'default')),
    level: make('meter', { id: 'call-level', min: '0', max: '1', low: '0.05', high: '0.9', optimum: '0.5', value: '0' }),
    join: button('call-join', 'Join the call', 'primary big'),
    mute: button('call-mute', 'Mute me'),
    leave: button('call-leave', 'Leave', 'danger'),
    sound: button('call-sound', 'Turn sound on', 'primary'),
    people: make('ul', { id: 'call-people', class: 'people', 'aria-label': 'In the call' }),
    nobody: make('p', { class: 'quiet' }, 'Nobody is in the call yet.'),
    player: make('audio', { id: 'call-player' }),
  };
  e.state.append(e.text);
  e.who.value = store(forGood, 'castd-name');
  e.why.hidden = e.sound.hidden = true;
  e.called = make('div', {}, make('label', { for: 'call-who' }, 'Your name (optional)'), e.who);
  e.own = make('div', {}, make('label', { for: 'call-level' }, 'Its level'), e.level);
  e.form = make('div', { class: 'pair' }, e.called, make('div', {}, make('label', { for: 'call-microphone' }, 'Microphone'), e.microphone), e.own);
  e.buttons = make('div', { class: 'row wrap' }, e.join, e.mute, e.leave, e.sound);
  e.part = make('div', {}, e.form, e.buttons);
  byId('choice').before(make('section', { id: 'call', class: 'card', 'aria-labelledby': 'call-title' },
    make('div', { class: 'head' }, make('h2', { id: 'call-title' }, 'Call'), e.state), e.why, e.people, e.nobody, e.part, e.player));
  return e;
}

// styled has the panel's style sheet, which only conferences need.
function styled() {
  const sheet = make('link', { rel: 'stylesheet', href: '/web/call.css' });
  const there = new Promise((resolve) => { sheet.onload = sheet.onerror = resolve; });
  document.head.append(sheet);
  return there;
}

// Tile is a participant as the list shows him; it changes in place, so that whoever moves a slider keeps it.
class Tile {
  constructor(participant, wish) {
    this.face = make('span', { class: 'face', 'aria-hidden': 'true' });
    this.name = make('span', { class: 'name' });
    this.marks = make('span', { class: 'marks quiet' });
    this.loud = make('input', { type: 'range', min: '0', max: '2', step: '0.05', value: '1' });
    this.loud.addEventListener('input', () => {
      this.say();
      wish(participant, Number(this.loud.value));
    });
    this.loud.addEventListener('dblclick', () => {
      this.loud.value = 1;
      this.loud.dispatchEvent(new Event('input'));
    });
    this.item = make('li', { 'data-participant': participant }, this.face, make('div', { class: 'text' }, this.name, this.marks), this.loud);
  }

  say() { this.loud.setAttribute('aria-valuetext', Math.round(100 * this.loud.value) + ' %'); }

  show({ name, talking, you, dominant, listening }) {
    const called = name || 'Somebody';
    this.face.textContent = [...called][0].toUpperCase();
    this.name.textContent = called;
    this.marks.textContent = [you ? 'you' : '', talking ? 'talking' : ''].filter(Boolean).join(' · ');
    this.item.classList.toggle('talking', Boolean(talking));
    this.item.classList.toggle('dominant', Boolean(dominant));
    this.loud.hidden = you || !listening;
    this.loud.setAttribute('aria-label', 'Loudness of ' + called);
    this.say();
  }
}

// listing shows who is there; others change how loud they are by wish(participant, gain).
function listing(list, nobody, wish) {
  const tiles = new Map();
  return (people) => {
    for (const [id, tile] of tiles) {
      if (people.some((p) => p.participant === id)) continue;
      tile.item.remove();
      tiles.delete(id);
    }
    for (const p of people) {
      if (!tiles.has(p.participant)) {
        tiles.set(p.participant, new Tile(p.participant, wish));
        list.append(tiles.get(p.participant).item);
      }
      tiles.get(p.participant).show(p);
    }
    nobody.hidden = people.length > 0;
  };
}

// calling adds the panel to the room's page. It returns the Call, where this browser can take part, and a function that takes
// what the API tells of the room.
export async function calling(name, info, watcher) {
  await styled();
  byId('room').classList.add('conference');
  watcher.conference = true;
  const e = panel();
  let call = null;
  let known = info; // what the API told
  let state = null; // what the data channel told
  const draw = listing(e.people, e.nobody, (participant, gain) => call.wish(participant, gain));
  const show = () => {
    const { you, dominant } = state || {};
    const people = state ? state.participants : known.participants;
    draw(people.map((p) => ({ ...p, you: p.participant === you, dominant: p.participant === dominant, listening: Boolean(state) })));
  };
  const update = (now) => {
    known = now;
    show();
  };
  update(info);
  const why = info.allowed.includes('speak') ? whyNoDevices(name)
    : 'You can listen here. To talk as well, ask whoever gave you this link for one that lets you speak.';
  if (why) {
    notice(e.why, why);
    e.part.hidden = true;
    return { call, update };
  }

  const say = (kind, text) => {
    e.state.dataset.state = kind;
    e.text.textContent = kind === 'live' && call.muted ? 'You are in the call, muted.' : text;
    const busy = kind === 'connecting' || kind === 'live';
    const pressed = e.buttons.contains(document.activeElement); // what is pressed goes, and with it the focus
    e.join.hidden = busy;
    e.own.hidden = e.mute.hidden = e.leave.hidden = !busy;
    e.called.hidden = busy;
    e.mute.textContent = call.muted ? 'Unmute me' : 'Mute me';
    e.mute.classList.toggle('primary', call.muted);
    if (kind === 'live') watcher.stop('idle', 'You are in the call.');
    if (!busy) {
      e.sound.hidden = true;
      watcher.start();
    }
    if (pressed && document.activeElement === document.body) (busy ? e.mute : e.join).focus();
    watcher.player.parentElement.hidden = kind === 'live' || kind === 'connecting' && !watcher.running;
    show();
  };
  const source = new Devices({ level: e.level, microphone: e.microphone });
  call = new Call({
    room: name, source, say, name: () => e.who.value.trim(), player: e.player,
    told(now) {
      state = now;
      show();
    },
    blocked() { e.sound.hidden = false; },
  });
  const again = () => say(e.state.dataset.state, call.words.live);
  source.changed = (media) => call.swap(media);
  source.lost = source.failed = (text) => { e.text.textContent = text; };
  e.join.addEventListener('click', () => {
    store(forGood, 'castd-name', e.who.value.trim());
    call.muted = false;
    call.start();
  });
  e.leave.addEventListener('click', () => call.stop());
  e.mute.addEventListener('click', () => {
    call.mute(!call.muted);
    if (e.state.dataset.state === 'live') again();
    else e.mute.textContent = call.muted ? 'Unmute me' : 'Mute me';
  });
  e.sound.addEventListener('click', () => {
    e.player.play();
    e.sound.hidden = true;
  });
  say('idle', call.words.idle);
  source.list();
  return { call, update };
}
