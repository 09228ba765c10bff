// The list of who is in a call: who talks, how loud each is wanted, whose hand is up, and what moderators may do about him.

// make makes an element.
export function make(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  e.append(...children);
  return e;
}

// verbs are what a moderator may do with somebody, with what the button says, and when there is one.
const verbs = [
  ['admit', 'Let in', (p) => p.waiting && p.outside],
  ['refuse', 'Refuse', (p) => p.waiting && p.outside],
  ['mic', (p) => (p.audience ? 'Call up' : 'Give the microphone'), (p) => p.hand],
  ['lower', 'Lower the hand', (p) => p.hand],
  ['dismiss', 'Back to the listeners', (p) => !p.owns && !p.waiting && (p.called || !p.audience && !p.you)],
  ['mute', 'Mute', (p) => !p.muted && !p.owns && !p.waiting && !p.audience],
  ['unmute', 'Unmute', (p) => p.muted],
  ['kick', 'Put out', (p) => !p.owns && !p.you],
  ['ban', 'Ban', (p) => !p.owns && !p.you],
  ['grant', 'Make moderator', (p) => p.mayAppoint && !p.moderates],
  ['revoke', 'No longer moderator', (p) => p.mayAppoint && p.moderates && !p.owns],
];

// Tile is a participant as the list shows him; it changes in place, so that whoever moves a slider or chooses a button keeps it.
class Tile {
  constructor(participant, { wish, moderate }) {
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
    this.summary = make('summary', {}, 'Moderate');
    this.verbs = verbs.map(([verb, text, fits]) => {
      const b = make('button', { type: 'button', class: 'small', 'data-verb': verb });
      b.addEventListener('click', () => moderate({ verb, participant }));
      return [b, fits, typeof text === 'string' ? () => text : text];
    });
    this.actions = make('details', {}, this.summary, make('div', { class: 'row wrap' }, ...this.verbs.map(([b]) => b)));
    this.item = make('li', { 'data-participant': participant }, this.face, make('div', { class: 'text' }, this.name, this.marks), this.loud, this.actions);
  }

  say() { this.loud.setAttribute('aria-valuetext', Math.round(100 * this.loud.value) + ' %'); }

  show(p) {
    const called = p.name || 'Somebody';
    this.face.textContent = [...called][0].toUpperCase();
    this.name.textContent = called;
    this.marks.textContent = [
      p.you ? 'you' : '', p.owns ? 'host' : p.moderates ? 'moderator' : '', p.waiting ? 'waiting' : p.called ? 'called up' : p.audience ? 'listening' : p.muted ? 'muted' : '', p.hand ? `hand up, number ${p.hand}` : '', p.talking ? 'talking' : '',
    ].filter(Boolean).join(' · ');
    for (const kind of ['talking', 'dominant', 'muted', 'waiting', 'audience', 'hand']) this.item.classList.toggle(kind, Boolean(p[kind]));
    this.loud.hidden = p.you || !p.listening || p.audience;
    this.loud.setAttribute('aria-label', 'Loudness of ' + called);
    this.say();
    this.summary.setAttribute('aria-label', 'Moderate ' + called);
    for (const [b, fits, text] of this.verbs) {
      b.textContent = text(p);
      b.hidden = !p.mayModerate || !fits(p);
    }
    this.actions.hidden = this.verbs.every(([b]) => b.hidden);
  }
}

// listing shows who is there. The person's will is told by wish(participant, gain) and
// moderate({ verb, participant }).
export function listing(list, nobody, will) {
  const tiles = new Map();
  return (people) => {
    for (const [id, tile] of tiles) {
      if (people.some((p) => p.participant === id)) continue;
      tile.item.remove();
      tiles.delete(id);
    }
    for (const p of people) {
      if (!tiles.has(p.participant)) {
        tiles.set(p.participant, new Tile(p.participant, will));
        list.append(tiles.get(p.participant).item);
      }
      tiles.get(p.participant).show(p);
    }
    nobody.hidden = people.length > 0;
  };
}
