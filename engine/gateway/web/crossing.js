// Going over from what those hear who only listen to what is heard in the call, and back: the one goes on until there is sound of the other.

import { sleep } from './api.js';

const patience = 1500; // milliseconds: where nobody talks, nothing is missed
const look = 20;

// stamp is the timestamp of the sound that a connection plays, where it plays any.
function stamp(pc) {
  for (const r of pc?.getReceivers() || []) {
    if (r.track?.kind === 'audio') return r.getSynchronizationSources?.()[0]?.rtpTimestamp;
  }
  return undefined;
}

// sounding waits until the connection that pc() gives plays sound that goes on, or for too long.
export async function sounding(pc) {
  const first = stamp(pc());
  for (const end = performance.now() + patience; performance.now() < end;) {
    await sleep(look);
    const now = stamp(pc());
    if (now !== undefined && now !== first) return;
  }
}
