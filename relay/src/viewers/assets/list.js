// The page of all cameras: their pictures and how they are doing. All pictures
// come over one connection, since a browser has no more than six to a host.
import { Picture } from './picture.js';
import { Poll } from './status.js';
import { Refusal, Stream } from './stream.js';
import { whileVisible } from './visibility.js';

// How long somebody may scroll before other pictures are asked for, in
// milliseconds.
const SETTLING = 200;

// In pictures a second, of each camera, unless somebody wants to watch.
const CALM_RATE = 1;

const element = (id) => document.getElementById(id);
const token = new URLSearchParams(location.search).get('token');

const tiles = new Map();
for (const tile of document.querySelectorAll('[data-camera]')) {
  const canvas = tile.querySelector('canvas');
  canvas.hidden = false;
  tiles.set(tile.dataset.camera, { tile, picture: new Picture(canvas) });
}

function address(path, pairs) {
  const query = new URLSearchParams(pairs);
  if (token) query.set('token', token);
  return `${path}?${query}`;
}

function show(camera, state, words, figures = '') {
  const { tile } = tiles.get(camera);
  tile.dataset.state = state;
  tile.querySelector('.figures').textContent = figures;
  const message = tile.querySelector('.state');
  if (message.textContent === words) return;
  message.textContent = words;
  // Screen readers speak it.
  element('news').textContent = `${camera}: ${words}`;
}

function showAll(state, words) {
  for (const camera of tiles.keys()) show(camera, state, words);
  element('summary').textContent = '';
}

// The cameras whose tiles are in sight, or will be with the next movement: no
// other pictures are sent.
const near = new Set();
let stream;
let visible = false;
let live = false;
// Why the relay sends no stream, if it says so.
let refused;

function openStream() {
  closeStream();
  if (!visible || !near.size) return;
  const pairs = { cameras: [...near].sort().join(',') };
  if (!live) pairs.fps = CALM_RATE;
  stream = new Stream(
    address('/_cameras/stream', pairs),
    (part) => {
      refused = undefined;
      const shown = tiles.get(part.camera);
      if (!shown) return;
      if (part.placeholder) shown.tile.dataset.state = part.placeholder;
      else shown.picture.show(part);
    },
    (why) => {
      refused = why instanceof Refusal ? why.message : undefined;
    },
  );
  stream.open();
}

function closeStream() {
  stream?.close();
  stream = undefined;
}

let settling;
const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) near.add(target.dataset.camera);
    else near.delete(target.dataset.camera);
  }
  clearTimeout(settling);
  settling = setTimeout(openStream, stream ? SETTLING : 0);
}, { rootMargin: '50%' });
for (const { tile } of tiles.values()) observer.observe(tile);

const poll = new Poll(
  address('/_cameras/status.json', {}),
  ({ cameras }) => {
    const known = cameras.every(({ camera }) => tiles.has(camera));
    // A camera was added or removed.
    if (!known || cameras.length !== tiles.size) return location.reload();
    if (refused) return showAll('offline', refused);
    let lives = 0;
    for (const { camera, state, message, frames } of cameras) {
      const streams = state === 'streaming';
      lives += streams;
      show(camera, state, message, live && streams ? `${frames.per_second.toFixed(0)} fps` : '');
    }
    element('summary').textContent = tiles.size ? `${lives} of ${tiles.size} live` : '';
  },
  (words) => showAll('offline', words),
);

whileVisible(
  () => {
    visible = true;
    if (!stream) openStream();
    poll.open();
  },
  () => {
    visible = false;
    closeStream();
    poll.close();
  },
);

// All pictures at their full rate. The address remembers it, for a screen on a
// wall.
const button = element('watch');

function setLive(wanted) {
  live = wanted;
  button.setAttribute('aria-pressed', String(live));
  openStream();
}

if (tiles.size) {
  button.hidden = false;
  button.addEventListener('click', () => {
    history.replaceState(null, '', live ? location.pathname + location.search : '#live');
    setLive(!live);
  });
  if (location.hash === '#live') setLive(true);
}
