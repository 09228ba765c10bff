// The panel of a conference: joining the call, who is in it, who talks, and how loud each of them is.

import { get, request } from './api.js';
import { Asking } from './asking.js';
import { Call } from './call.js';
import { listing, make } from './callers.js';
import { chatting } from './chatting.js';
import { sounding } from './crossing.js';
import { Devices, whyNoDevices } from './devices.js';
import { byId, forGood, notice, store } from './dom.js';
import { Camera, cameraMessage, Pictures } from './pictures.js';

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
    camera: button('call-camera', 'Camera on'),
    cameras: make('select', { id: 'call-cameras', 'aria-label': 'Camera' }),
    leave: button('call-leave', 'Leave', 'danger'),
    hand: button('call-hand', 'Raise hand'),
    ask: button('call-ask', 'Raise hand'),
    wanted: make('p', { id: 'call-called', class: 'notice good', role: 'status' }, 'You may speak now. Nothing of you is heard before you join.'),
    sound: button('call-sound', 'Turn sound on', 'primary'),
    people: make('ul', { id: 'call-people', class: 'people', 'aria-label': 'In the call' }),
    nobody: make('p', { class: 'quiet' }, 'Nobody is in the call yet.'),
    told: make('p', { id: 'call-told', class: 'notice', role: 'status' }),
    all: button('call-mute-all', 'Mute all', 'small'),
    lock: button('call-lock', 'Lock the room', 'small'),
    knock: button('call-knock', 'Have newcomers knock', 'small'),
    wait: button('call-wait', 'Wait for a host', 'small'),
    tones: button('call-tones', 'Entry tones', 'small'),
    music: button('call-music', 'Music on hold', 'small'),
    title: make('input', { id: 'call-title-text', maxlength: '120', autocomplete: 'off' }),
    file: make('input', { id: 'call-announce-file', type: 'file', accept: '.ogg,.opus,.oga,.webm,.mka,audio/ogg,audio/webm' }),
    to: make('select', { id: 'call-announce-to' }, new Option('Everybody', '')),
    announce: button('call-announce', 'Announce'),
    player: make('audio', { id: 'call-player' }),
  };
  e.state.append(e.text);
  e.who.value = store(forGood, 'castd-name');
  e.why.hidden = e.sound.hidden = e.told.hidden = e.wanted.hidden = e.ask.hidden = true;
  e.called = make('div', {}, make('label', { for: 'call-who' }, 'Your name (optional)'), e.who);
  e.own = make('div', {}, make('label', { for: 'call-level' }, 'Its level'), e.level);
  e.chosen = make('div', {}, make('label', { for: 'call-microphone' }, 'Microphone'), e.microphone);
  e.form = make('div', { class: 'pair' }, e.called, e.chosen, e.own);
  e.buttons = make('div', { class: 'row wrap' }, e.join, e.ask, e.mute, e.camera, e.cameras, e.hand, e.leave, e.sound);
  e.moderation = make('div', { id: 'call-moderation', class: 'row wrap' }, e.all, e.lock, e.knock, e.wait, e.tones, e.music);
  e.titling = make('form', { class: 'row' }, e.title, make('button', {}, 'Set'));
  e.announcing = make('div', { class: 'pair' },
    make('div', {}, make('label', { for: 'call-announce-file' }, 'Announcement: a file with Opus, two minutes at most'), e.file),
    make('div', {}, make('label', { for: 'call-announce-to' }, 'Who hears it'), make('div', { class: 'row' }, e.to, e.announce)));
  e.more = make('details', { id: 'call-more' }, make('summary', {}, 'Title and announcements'), make('label', { for: 'call-title-text' }, 'Title of the room'), e.titling, e.announcing);
  e.part = make('div', {}, e.form, e.buttons);
  byId('choice').before(make('section', { id: 'call', class: 'card', 'aria-labelledby': 'call-title' },
    make('div', { class: 'head' }, make('h2', { id: 'call-title' }, 'Call'), e.state), e.why, e.told, e.wanted, e.people, e.nobody, e.part, e.moderation, e.more, e.player));
  return e;
}

// waitings says what somebody waits for.
const waitings = {
  host: 'Waiting for the host. You are let in as soon as somebody comes who may moderate.',
  admission: 'Waiting to be let in. A moderator sees you.',
};

// styled has the panel's style sheet, which only conferences need.
function styled() {
  const sheet = make('link', { rel: 'stylesheet', href: '/web/call.css' });
  const there = new Promise((resolve) => { sheet.onload = sheet.onerror = resolve; });
  document.head.append(sheet);
  return there;
}

// calling adds the panel to the room's page. It returns the Call, where this browser can take part, and a function that takes
// what the API tells of the room.
export async function calling(name, info, watcher) {
  await styled();
  byId('room').classList.add('conference');
  watcher.conference = true;
  watcher.player.addEventListener('resize', () => byId('room').classList.toggle('pictures', watcher.player.videoWidth > 0));
  const e = panel();
  let call = null;
  let known = info; // what the API told
  let state = null; // what the data channel told
  let words = ''; // what the call says of itself
  const admin = info.allowed.includes('admin');
  // moderate goes by the data channel, which knows who asks, and outside of the call by the administrator's API.
  const moderate = async ({ verb, participant, title }) => {
    if (state) return call.tell({ type: 'moderate', verb, participant, title });
    const path = '/api/v1/rooms/' + encodeURIComponent(name);
    const asked = participant
      ? request(`${path}/participants/${encodeURIComponent(participant)}:${verb}`, { method: 'POST' })
      : request(path + '/moderation', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ verb, title }) });
    try {
      await asked;
      notice(e.told, '');
      update(await get('rooms/' + encodeURIComponent(name)));
    } catch (err) {
      notice(e.told, err.message);
    }
  };
  const pictures = new Pictures((sections) => call.tell({ type: 'want', sections }));
  e.people.before(pictures.part);
  const draw = listing(e.people, e.nobody, { wish: (participant, gain) => call.wish(participant, gain), moderate });
  const chat = chatting((text) => call.tell({ type: 'chat', text }));
  const asking = new Asking({ watcher, name: () => e.who.value.trim(), changed: () => show(), told: (text) => notice(e.told, text) });
  const speaks = info.allowed.includes('speak'); // without being called
  // whom offers those who may be the only ones to hear an announcement.
  const whom = (people) => {
    const options = people.map((p) => new Option(p.name || 'Somebody', p.participant));
    if (options.map((o) => o.value + o.text).join() === [...e.to.options].slice(1).map((o) => o.value + o.text).join()) return;
    const chosen = e.to.value;
    e.to.replaceChildren(new Option('Everybody', ''), ...options);
    e.to.value = options.some((o) => o.value === chosen) ? chosen : '';
  };
  const hand = () => (state?.hands || []).indexOf(state?.you) + 1;
  const show = () => {
    const { you, dominant } = state || {};
    const now = state || known;
    const me = state?.participants.find((p) => p.participant === you);
    const holds = (p, role) => Boolean(p?.roles?.includes(role));
    const mayAppoint = state ? holds(me, 'owner') : admin;
    const mayModerate = mayAppoint || holds(me, 'moderator');
    draw(now.participants.map((p) => ({
      ...p, you: p.participant === you, dominant: p.participant === dominant, listening: Boolean(state), mayModerate, mayAppoint,
      outside: now.knock, hand: (now.hands || []).indexOf(p.participant) + 1, owns: holds(p, 'owner'), moderates: holds(p, 'owner') || holds(p, 'moderator'),
    })));
    if (e.state.dataset.state === 'live' && state?.waiting) e.text.textContent = waitings[state.waiting] || waitings.host;
    else if (e.state.dataset.state === 'live' && (me?.muted || holds(me, 'listener'))) e.text.textContent = 'You are in the call and may listen. Raise your hand to talk.';
    else if (e.state.dataset.state === 'live' && call.muted) e.text.textContent = 'You are in the call, muted.';
    else e.text.textContent = words;
    pictures.show(state);
    chat.part.hidden = e.hand.hidden = !me?.roles || state.waiting === 'admission';
    const idle = ['idle', 'error'].includes(e.state.dataset.state);
    e.ask.hidden = !idle || mayModerate || !watcher.session;
    e.ask.textContent = !asking.wanted ? 'Raise hand' : asking.state.place && !asking.called ? `Lower hand (number ${asking.state.place})` : 'Lower hand';
    e.wanted.hidden = !idle || !asking.called;
    e.join.hidden = !idle || !speaks && !asking.called;
    e.join.textContent = asking.called ? 'You may speak now: join' : 'Join the call';
    e.chosen.hidden = e.join.hidden && idle;
    if (!speaks) e.why.hidden = !idle || asking.called;
    e.hand.textContent = hand() ? 'Lower hand' : 'Raise hand';
    e.moderation.hidden = e.more.hidden = !mayModerate;
    e.announcing.hidden = !admin;
    whom(now.participants.filter((p) => !p.audience && p.participant !== you));
    e.all.textContent = now.muted_all ? 'Unmute all' : 'Mute all';
    e.lock.textContent = now.locked ? 'Unlock the room' : 'Lock the room';
    e.all.dataset.verb = now.muted_all ? 'unmute-all' : 'mute-all';
    e.lock.dataset.verb = now.locked ? 'unlock' : 'lock';
    e.knock.hidden = now.knock;
    e.wait.textContent = now.settings?.wait ? 'Let people in without a host' : 'Have people wait for a host';
    e.wait.dataset.verb = now.settings?.wait ? 'wait-off' : 'wait';
    e.tones.textContent = now.settings?.tones ? 'No entry tones' : 'Entry tones';
    e.tones.dataset.verb = now.settings?.tones ? 'tones-off' : 'tones';
    e.music.textContent = now.settings?.music ? 'No music for who is alone' : 'Music for who is alone';
    e.music.dataset.verb = now.settings?.music ? 'music-off' : 'music';
    if (document.activeElement !== e.title) e.title.value = now.title || '';
  };
  e.knock.dataset.verb = 'knock';
  for (const b of [e.all, e.lock, e.knock, e.wait, e.tones, e.music]) b.addEventListener('click', () => moderate({ verb: b.dataset.verb }));
  e.titling.addEventListener('submit', (ev) => {
    ev.preventDefault();
    moderate({ verb: 'title', title: e.title.value.trim() });
    e.title.blur();
  });
  e.announce.addEventListener('click', async () => {
    const [file] = e.file.files;
    if (!file) return notice(e.told, 'Choose a file first, like one made by ffmpeg -i FILE -vn -c:a libopus OUT.ogg.');
    e.announce.disabled = true;
    try {
      const query = e.to.value ? '?to=' + encodeURIComponent(e.to.value) : '';
      await request(`/api/v1/rooms/${encodeURIComponent(name)}/announcements${query}`, { method: 'POST', body: file, timeout: 180000 });
      notice(e.told, 'The announcement was heard.', true);
    } catch (err) {
      notice(e.told, err.message);
    } finally {
      e.announce.disabled = false;
    }
  });
  e.more.after(chat.part);
  const update = (now) => {
    known = now;
    show();
    asking.look();
  };
  update(info);
  const why = whyNoDevices(name);
  if (why) {
    notice(e.why, why);
    e.part.hidden = true;
    return { call, update };
  }
  if (!speaks) notice(e.why, 'You can listen here. To talk as well, raise your hand, or ask whoever gave you this link for one that lets you speak.');

  // enter ends what those hear who only listen, once there is sound in the call; leave does it the other way round, and has nothing more of
  // the person be heard meanwhile.
  let crossing = false;
  const enter = async () => {
    if (crossing || !watcher.running) return;
    crossing = e.player.muted = true;
    await sounding(() => call.exchange?.pc);
    crossing = e.player.muted = false;
    if (e.state.dataset.state === 'live') watcher.stop('idle', 'You are in the call.');
  };
  const leave = async () => {
    if (crossing || e.state.dataset.state !== 'live') return call.stop();
    crossing = true;
    call.mute(true);
    const { muted } = watcher.player;
    watcher.player.muted = true;
    watcher.start();
    await sounding(() => watcher.exchange?.pc);
    watcher.player.muted = muted;
    crossing = false;
    call.stop();
  };

  const say = (kind, text) => {
    words = text;
    e.state.dataset.state = kind;
    const busy = kind === 'connecting' || kind === 'live';
    const pressed = e.buttons.contains(document.activeElement); // what is pressed goes, and with it the focus
    e.own.hidden = e.mute.hidden = e.camera.hidden = e.leave.hidden = !busy;
    if (!busy) filming.stop();
    e.called.hidden = busy;
    e.mute.textContent = call.muted ? 'Unmute me' : 'Mute me';
    e.mute.classList.toggle('primary', call.muted);
    asking.away = busy;
    if (kind === 'live') {
      asking.wanted = false;
      enter();
    }
    if (!busy) {
      e.sound.hidden = true;
      watcher.start();
    }
    show();
    if (pressed && document.activeElement === document.body) (busy ? e.mute : e.join.hidden ? e.ask : e.join).focus();
    watcher.player.parentElement.hidden = kind === 'live' || kind === 'connecting' && !watcher.running;
  };
  const source = new Devices({ level: e.level, microphone: e.microphone });
  const camera = new Camera({
    select: e.cameras,
    ended() {
      notice(e.told, 'The camera has stopped. Turn it on again, or choose another one.');
      filming.stop();
    },
  });
  const filming = {
    async start() {
      e.camera.disabled = true;
      try {
        const track = await camera.open();
        if (!call.live) return camera.close();
        pictures.preview(track);
        await call.film(track);
        notice(e.told, '');
      } catch (err) {
        notice(e.told, cameraMessage(err));
      } finally {
        e.camera.disabled = false;
        this.show();
      }
    },
    stop() {
      camera.close();
      pictures.preview(null);
      if (call?.picture) call.film(null);
      this.show();
    },
    show() {
      e.camera.textContent = camera.track ? 'Camera off' : 'Camera on';
      if (!camera.track) e.cameras.hidden = true;
    },
  };
  e.camera.addEventListener('click', () => (camera.track ? filming.stop() : filming.start()));
  e.cameras.addEventListener('change', () => filming.start());
  call = new Call({
    room: name, source, say, name: () => e.who.value.trim(), player: e.player,
    told(message) {
      if (message?.type === 'chat') chat.take(message.messages);
      else if (message?.type === 'notice') {
        notice(e.told, message.message, message.code === 'mic' || message.code === 'unmuted');
        if (message.code === 'put_out') call.stop(message.message);
        if (message.code === 'dismissed') call.stop();
      } else {
        state = message;
        show();
      }
    },
    seen: (mid, track) => pictures.take(mid, track),
    blocked() { e.sound.hidden = false; },
  });
  const last = (address) => (address || '').split('/').pop();
  call.earlier = () => last(watcher.session);
  watcher.earlier = () => last(call.exchange?.location);
  source.changed = (media) => call.swap(media);
  source.lost = source.failed = (text) => notice(e.told, text);
  e.join.addEventListener('click', () => {
    store(forGood, 'castd-name', e.who.value.trim());
    call.muted = false;
    notice(e.told, '');
    call.start();
  });
  e.leave.addEventListener('click', leave);
  e.mute.addEventListener('click', () => {
    call.mute(!call.muted);
    say(e.state.dataset.state, words);
  });
  e.ask.addEventListener('click', () => {
    store(forGood, 'castd-name', e.who.value.trim());
    notice(e.told, '');
    asking.raise(!asking.wanted);
  });
  e.hand.addEventListener('click', () => call.tell({ type: 'hand', raised: !hand() }));
  e.sound.addEventListener('click', () => {
    e.player.play();
    e.sound.hidden = true;
  });
  say('idle', call.words.idle);
  source.list();
  return { call, update };
}
