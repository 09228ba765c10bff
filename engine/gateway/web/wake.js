// Notices that this machine has slept, has another network, or shows the page again.

// onWake calls f(sure) then. sure says that connections have most likely broken.
export function onWake(f) {
  addEventListener('online', () => f(true));
  navigator.connection?.addEventListener?.('change', () => f(true));
  addEventListener('pageshow', (e) => { if (e.persisted) f(true); });
  document.addEventListener('visibilitychange', () => { if (!document.hidden) f(false); });
  let last = Date.now();
  setInterval(() => {
    const now = Date.now();
    if (now - last > 8000) f(false); // the clock went on and this page did not; browsers also slow down pages that nobody sees
    last = now;
  }, 1000);
}
