// Small helpers for the page's elements. Text from outside only ever becomes text.

export const byId = (id) => document.getElementById(id);

export function item(text) {
  const li = document.createElement('li');
  li.textContent = text;
  return li;
}

// fill replaces a list's items; none is shown where there are none.
export function fill(list, items, none) {
  if (items.length === 0 && none) {
    const li = item(none);
    li.className = 'none';
    items = [li];
  }
  list.replaceChildren(...items);
}

// notice shows a sentence, or hides the element where it is empty.
export function notice(element, text, good = false) {
  element.hidden = !text;
  element.textContent = text;
  element.classList.toggle('good', good);
}

// short is the end of a long id, which tells ids apart.
export const short = (id) => (id.length > 12 ? '…' + id.slice(-8) : id);

// store keeps a text in the browser where that is allowed.
export function store(area, key, text) {
  try {
    if (text === undefined) return area().getItem(key) || '';
    area().setItem(key, text);
  } catch { /* then it lasts as long as the page */ }
  return '';
}
export const forGood = () => localStorage;
export const forTab = () => sessionStorage;

// copy puts text on the clipboard, also where the page is not from https, by way of a field.
export async function copy(text, field) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    field.select();
    return document.execCommand('copy');
  }
}

const between = 400; // milliseconds between two runs of one function

// whenever makes of an async function one that runs once at a time: calls meanwhile lead to one more run, a little later.
export function whenever(f) {
  let running = null;
  let more = false;
  return () => {
    if (running) {
      more = true;
      return running;
    }
    running = (async () => {
      try {
        do {
          more = false;
          await f();
          if (more) await new Promise((resolve) => { setTimeout(resolve, between); });
        } while (more);
      } finally {
        running = null;
      }
    })();
    return running;
  };
}
