// The panels with links for others, and for OBS.

import { post, token } from './api.js';
import { byId, copy, notice } from './dom.js';

export function inviting(name, path, info) {
  const admin = info.allowed.includes('admin');
  for (const e of document.querySelectorAll('[data-admin]')) e.hidden = !admin;
  const link = byId('invite-link');
  const qr = byId('invite-qr');
  const show = async (text, svg) => {
    byId('invite-result').hidden = false;
    link.value = text;
    qr.hidden = !svg;
    if (svg) qr.src = 'data:image/svg+xml,' + encodeURIComponent(svg);
    const copied = await copy(text, link);
    notice(byId('invite-message'), copied ? 'Copied. Pass it on to whom you want here.' : 'Copy this link, and pass it on.', true);
  };
  const make = (spec) => async () => {
    try {
      const made = await post(path + '/invites', { ...spec, qr: true });
      await show(made.invite || made.url, made.qr);
    } catch (err) {
      notice(byId('invite-message'), err.message);
    }
  };
  if (!admin) {
    byId('invite-hint').textContent = 'Whoever has this link may do in this room what you may.';
    byId('copy-invite').addEventListener('click', () => show(location.origin + location.pathname + '#token=' + token()));
    return;
  }
  byId('copy-invite').addEventListener('click', make({}));
  byId('copy-guest').addEventListener('click', make({ guest: true }));
  byId('copy-speaker').addEventListener('click', make({ guest: true, speak: true }));
  byId('obs-server').value = location.origin + '/whip/' + encodeURIComponent(name);
  byId('obs-make').addEventListener('click', async () => {
    try {
      const made = await post(path + '/tokens', { speak: true, expires: '8760h' });
      byId('obs-token').value = made.token;
      const copied = await copy(made.token, byId('obs-token'));
      notice(byId('obs-message'), (copied ? 'Copied. ' : '') + 'It lets whoever has it send into this room for a year.', true);
    } catch (err) {
      notice(byId('obs-message'), err.message);
    }
  });
  for (const e of document.querySelectorAll('input[readonly]')) e.addEventListener('focus', () => e.select());
}
