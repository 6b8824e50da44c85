// The page of one camera: its live picture, how it is doing, and what can be
// done with it.
import { Picture } from './picture.js';
import { age, ageInWords, Poll } from './status.js';
import { Refusal, Stream } from './stream.js';
import { whileVisible } from './visibility.js';

// How long the words on the full screen stay without a movement, in
// milliseconds.
const IDLE = 3000;

const element = (id) => document.getElementById(id);
const figure = element('figure');
const { name, query } = figure.dataset;
const canvas = element('picture');
const picture = new Picture(canvas);

let status;
let epoch;
// How wrong this page's idea of the relay's clock may be, in seconds.
let spread;
// Why the relay sends no stream, if it says so.
let refused;

function show(state, words) {
  figure.dataset.state = state;
  element('cover').textContent = words;
  element('cover').hidden = state === 'streaming';
  // Screen readers speak a change of it.
  if (element('message').textContent !== words) element('message').textContent = words;
}

function showFigures() {
  const details = [];
  if (status?.newest && figure.dataset.state === 'streaming') {
    details.push(status.frames.per_second.toFixed(1) + ' fps');
    const captured = picture.shown?.captured;
    if (captured) {
      const { uncertainty } = status.newest;
      const either = uncertainty === null ? undefined : uncertainty + spread;
      details.push(ageInWords(age(captured, status, epoch), either));
    }
    const uplink = status.box?.uplink;
    if (uplink?.is_reduced) details.push(uplink.reason);
    if (status.box?.deviation) details.push(status.box.deviation);
  }
  element('figures').textContent = details.join(' · ');
}

const queryWith = (pair) => query + (query ? '&' : '?') + pair;

const stream = new Stream(
  `/${name}/stream${queryWith('raw=1')}`,
  (part) => {
    refused = undefined;
    if (part.placeholder) figure.dataset.state = part.placeholder;
    else picture.show(part);
  },
  (why) => {
    refused = why instanceof Refusal ? why.message : undefined;
  },
);

const poll = new Poll(
  `/${name}/status.json${query}`,
  (answer, relayEpoch, relaySpread) => {
    status = answer;
    epoch = relayEpoch;
    spread = relaySpread;
    if (refused) show('offline', refused);
    else show(status.state, status.message);
    showFigures();
  },
  (words) => {
    show('offline', words);
    showFigures();
  },
);

canvas.hidden = false;
whileVisible(
  () => {
    stream.open();
    poll.open();
  },
  () => {
    stream.close();
    poll.close();
  },
);

// Full screen: by the browser, or where it has that for films alone, as on
// iPhones, as large as the window.
const fullScreen = element('full-screen');
const isFull = () => document.fullscreenElement === figure || figure.classList.contains('filling');

function fill(filling) {
  figure.classList.toggle('filling', filling);
  update();
}

function update() {
  fullScreen.setAttribute('aria-pressed', String(isFull()));
  stir();
}

async function toggleFullScreen() {
  if (document.fullscreenElement) return document.exitFullscreen();
  if (!document.fullscreenEnabled) return fill(!isFull());
  try {
    await figure.requestFullscreen();
  } catch (error) {
    fill(true);
  }
}

let idle;
function stir() {
  figure.classList.remove('idle');
  clearTimeout(idle);
  if (isFull()) idle = setTimeout(() => figure.classList.add('idle'), IDLE);
}

fullScreen.hidden = false;
fullScreen.addEventListener('click', toggleFullScreen);
element('picture').addEventListener('dblclick', toggleFullScreen);
document.addEventListener('fullscreenchange', update);
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') fill(false);
  stir();
});
figure.addEventListener('pointermove', stir);
figure.addEventListener('pointerdown', stir);

// A snapshot is called by its camera and time.
element('snapshot').addEventListener('click', (event) => {
  const now = new Date();
  const local = new Date(now - now.getTimezoneOffset() * 60000).toISOString();
  event.currentTarget.download = `${name}-${local.slice(0, 19).replaceAll(':', '.')}.jpg`;
});

// A link for somebody else.
const share = element('share');

async function link() {
  const answer = await fetch(`/${name}/link.json${query}`, { cache: 'no-store' });
  // What opened this page is all there is to give.
  if (!answer.ok) return { url: location.href };
  const { path, expires } = await answer.json();
  return { url: new URL(path, location.href).href, expires };
}

async function shareLink() {
  let shared = { url: location.href };
  try {
    shared = await link();
  } catch (error) {
    // The relay is away.
  }
  let words = 'Copy this link to share the camera.';
  try {
    await navigator.clipboard.writeText(shared.url);
    words = 'The link is copied.';
  } catch (error) {
    // It is there to be copied by hand.
  }
  if (shared.expires) {
    const ends = new Date(shared.expires * 1000);
    words += ' It opens this camera until ' +
      ends.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' }) + '.';
  }
  element('shared').hidden = false;
  element('shared-words').textContent = words;
  element('shared-link').value = shared.url;
  element('shared-link').select();
}

share.hidden = false;
share.addEventListener('click', shareLink);
