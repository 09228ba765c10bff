// The chat of a call.

import { make } from './callers.js';

const kept = 100; // lines

// chatting makes the chat; say(text) sends a line. It returns the element, and a function that takes what has come.
export function chatting(say) {
  const log = make('ol', { id: 'call-chat', class: 'list log', role: 'log', tabindex: '0', 'aria-label': 'Chat' });
  const line = make('input', { id: 'call-line', maxlength: '1000', autocomplete: 'off' });
  const form = make('form', { class: 'row' }, line, make('button', {}, 'Send'));
  const part = make('div', { class: 'part' }, make('h3', {}, 'Chat'), log, make('label', { for: 'call-line' }, 'To everybody in the call'), form);
  form.addEventListener('submit', (e) => {
    e.preventDefault();
    if (line.value.trim()) say(line.value.trim());
    line.value = '';
  });
  let last = 0;
  const take = (messages) => {
    for (const m of messages) {
      if (m.id <= last) continue;
      last = m.id;
      const below = log.scrollHeight - log.scrollTop - log.clientHeight < 40; // who reads older lines stays there
      const time = make('time', { datetime: m.time || '' }, m.time ? new Date(m.time).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }) : '');
      log.append(make('li', {}, time, make('b', {}, m.name || 'Somebody'), ' ' + m.text));
      while (log.childElementCount > kept) log.firstElementChild.remove();
      if (below) log.scrollTop = log.scrollHeight;
    }
  };
  return { part, take };
}
