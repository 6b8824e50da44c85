// Keeps the picture and the words beneath it up to date.
'use strict';

const picture = document.getElementById('picture');
const figure = document.getElementById('figure');
const message = document.getElementById('message');
const figures = document.getElementById('figures');

const [stream, query] = picture.getAttribute('src').split('?');
const statusUrl = stream.replace(/stream$/, 'status.json');

// In milliseconds.
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 5000;
const STATUS_INTERVAL = 1000;
// How long a new stream may take to be known to the relay.
const STREAM_GRACE = 4000;

let watching = true;
const first = new URLSearchParams(query);
// What the relay knows the stream by. The first ID came with the page.
let page = first.get('page');
// What opens the camera, where it is opened by a link.
const token = first.get('token');
let connected = Date.now();
let pause = FIRST_PAUSE;
let reconnection;
let relayStarted;
let relayWasAway = false;

function queryFor(id) {
  return '?page=' + id + (token ? '&token=' + token : '');
}

// A new ID each time, so that no browser joins the broken stream and the relay
// does not take that one for the new.
function connect() {
  reconnection = undefined;
  page = Math.random().toString(36).slice(2) + Date.now().toString(36);
  connected = Date.now();
  picture.src = stream + queryFor(page);
}

function reconnectLater() {
  if (!watching || reconnection !== undefined) return;
  reconnection = setTimeout(connect, pause);
  pause = Math.min(pause * 2, LONGEST_PAUSE);
}

function show(state, words, details) {
  figure.dataset.state = state;
  // Screen readers speak a change of it.
  if (message.textContent !== words) message.textContent = words;
  figures.textContent = details;
}

function details(status) {
  if (!status.newest) return '';
  return status.frames.per_second.toFixed(1) + ' pictures a second, the newest ' +
    status.newest.since_arrival.toFixed(1) + ' s old';
}

async function refresh() {
  try {
    const asked = page;
    const answer = await fetch(statusUrl + queryFor(asked), { cache: 'no-store' });
    if (!answer.ok) throw new Error('HTTP status ' + answer.status);
    const status = await answer.json();
    show(status.state, status.message, details(status));
    // A stream can end without an error event, as after sleep or a change of
    // network. What counts is whether the relay still sends this one.
    const restarted = relayStarted !== undefined && relayStarted !== status.relay_started;
    relayStarted = status.relay_started;
    const lost = status.watching === false && asked === page && Date.now() - connected > STREAM_GRACE;
    if (relayWasAway || restarted || lost) reconnectLater();
    else if (status.newest) pause = FIRST_PAUSE;
    relayWasAway = false;
  } catch (error) {
    relayWasAway = true;
    show('offline', 'The relay does not answer', '');
  }
}

async function refreshForEver() {
  if (watching) await refresh();
  setTimeout(refreshForEver, STATUS_INTERVAL);
}

picture.addEventListener('error', reconnectLater);

// Safari keeps a stream open unless its image is pointed elsewhere.
window.addEventListener('pagehide', () => {
  watching = false;
  clearTimeout(reconnection);
  reconnection = undefined;
  picture.src = '';
});

window.addEventListener('pageshow', (event) => {
  if (!event.persisted) return;
  watching = true;
  connect();
});

refreshForEver();
