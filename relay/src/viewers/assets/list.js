// Keeps the list of cameras up to date.
'use strict';

// In milliseconds.
const INTERVAL = 3000;

async function refresh() {
  try {
    const answer = await fetch(location.href, { cache: 'no-store' });
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const fresh = page.querySelector('main');
    const shown = document.querySelector('main');
    // What has not changed stays, and the reader's place in it.
    if (answer.ok && fresh && fresh.innerHTML !== shown.innerHTML) shown.replaceWith(fresh);
  } catch (error) {
    // The relay is away: what is shown stays until it is back.
  }
  setTimeout(refresh, INTERVAL);
}

setTimeout(refresh, INTERVAL);
