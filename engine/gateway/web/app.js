// Entry: takes the token, and shows what the address is for.

import { setToken, takeToken } from './api.js';
import { byId } from './dom.js';
import { showHome } from './home.js';
import { showRoom } from './room.js';

// ask lets the person give a token; the page then begins anew.
function ask(why) {
  byId('home').hidden = true;
  byId('room').hidden = true;
  byId('token-form').hidden = false;
  if (why) byId('token-why').textContent = why;
  byId('token').focus();
}

byId('token-form').addEventListener('submit', (e) => {
  e.preventDefault();
  setToken(byId('token').value);
  location.reload();
});
addEventListener('hashchange', () => {
  if (location.hash.includes('token=')) {
    takeToken();
    location.reload();
  }
});

// A player that waits for its first frame would keep the page loading, so it begins when that is over.
if (document.readyState !== 'complete') await new Promise((resolve) => { addEventListener('load', resolve, { once: true }); });

const room = /^\/r\/([^/]+)$/.exec(location.pathname)?.[1];
if (!takeToken()) ask();
else if (room) showRoom(decodeURIComponent(room), ask);
else showHome(ask);
