// Requests to this peer: the token, JSON, and server-sent events.

const key = 'castd-token';

// takeToken moves a token from the address bar (#token=...) to the tab's storage, and returns the tab's token.
export function takeToken() {
  const hash = new URLSearchParams(location.hash.slice(1));
  if (hash.has('token')) {
    setToken(hash.get('token'));
    history.replaceState(history.state, '', location.pathname + location.search);
  }
  return token();
}

export function token() {
  try {
    return sessionStorage.getItem(key) || '';
  } catch {
    return held; // storage is switched off
  }
}

let held = '';

// setToken takes a token, or a whole link that has one.
export function setToken(text) {
  const found = /[#&]token=([^&\s]+)/.exec(text);
  held = found ? decodeURIComponent(found[1]) : text.trim();
  try {
    sessionStorage.setItem(key, held);
  } catch { /* it lasts as long as the page */ }
}

// Problem is an error that the peer answered with (RFC 9457), or status 0 where there was no answer.
export class Problem extends Error {
  constructor(status, doc, retryAfter) {
    super(doc.detail || doc.title || `The peer answered with status ${status}.`);
    this.status = status;
    this.code = doc.code || '';
    this.retryAfter = retryAfter || 0; // milliseconds
  }
}

// request sends one request with the token, and waits options.timeout milliseconds for the answer to begin. Answers that are no
// success are thrown as Problems.
export async function request(path, { timeout = 10000, signal, ...options } = {}) {
  const headers = { ...options.headers };
  if (token()) headers.Authorization = 'Bearer ' + token();
  const control = new AbortController();
  const abort = () => control.abort();
  if (signal?.aborted) abort();
  signal?.addEventListener('abort', abort);
  const timer = setTimeout(abort, timeout);
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: 'no-store', redirect: 'error', signal: control.signal });
  } catch (err) {
    signal?.removeEventListener('abort', abort);
    if (signal?.aborted) throw err;
    throw new Problem(0, { detail: navigator.onLine === false ? 'This device is offline.' : 'This peer does not answer. Is castd still running?' });
  } finally {
    clearTimeout(timer);
  }
  if (response.ok) return response;
  let doc = {};
  if ((response.headers.get('Content-Type') || '').startsWith('application/problem+json')) {
    doc = await response.json().catch(() => ({}));
  }
  throw new Problem(response.status, doc, 1000 * Number(response.headers.get('Retry-After') || 0));
}

export async function get(path) {
  return (await request('/api/v1/' + path)).json();
}

export async function post(path, body) {
  const response = await request('/api/v1/' + path, {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
  });
  return response.json();
}

// sleep waits for some milliseconds, or until the signal aborts.
export function sleep(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

// backoff returns how long to wait before the nth try after a failure, in milliseconds, spread so that not all come at once.
export function backoff(n) {
  return Math.min(10000, 400 * 2 ** n) * (0.75 + Math.random() / 2);
}

// silence is how long a stream of events may say nothing, in milliseconds; a peer says something every 15 s.
const silence = 40000;

// events calls handle with each event of a room as long as the page lives, and broken when the stream has broken off. It returns
// a function that begins the stream anew at once. EventSource cannot send a token, so this reads the stream itself (HTML Living
// Standard section 9.2.6, of which only data lines are used here).
export function events(room, broken, handle) {
  let pause = new AbortController();
  let attempt = new AbortController();
  (async () => {
    for (let failures = 0; ; failures++) {
      attempt = new AbortController();
      try {
        await readEvents(room, handle, attempt, () => { failures = 0; });
      } catch (err) {
        if (err.status === 401 || err.status === 403) return;
      }
      broken();
      pause = new AbortController();
      await sleep(backoff(failures + 1), pause.signal);
    }
  })();
  return () => {
    pause.abort();
    attempt.abort();
  };
}

async function readEvents(room, handle, attempt, alive) {
  let late;
  const wait = () => {
    clearTimeout(late);
    late = setTimeout(() => attempt.abort(), silence);
  };
  try {
    const response = await request('/api/v1/events?room=' + encodeURIComponent(room), { signal: attempt.signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      wait();
      const { value, done } = await reader.read();
      if (done) return;
      alive();
      const lines = (rest + value).split('\n');
      rest = lines.pop();
      for (const line of lines) {
        if (line.startsWith('data:')) handle(JSON.parse(line.slice(5)));
      }
    }
  } finally {
    clearTimeout(late);
  }
}
