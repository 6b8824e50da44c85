// What the relay says of its cameras, asked for again and again.
import { Refusal } from './stream.js';

// In milliseconds.
const INTERVAL = 1000;
const PATIENCE = 4000;
// A relay that is restarted is away for less than this, which is not worth a
// word.
const UNNOTICED = 1500;

const AWAY = 'The relay does not answer';

// How far apart the capture by a box's clock and the arrival may be, in
// seconds. More is a clock that is wrong.
const LONGEST_WAY = 30;

// Asks again and again from open() to close().
export class Poll {
  #url;
  #onStatus;
  #onTrouble;
  #closing;

  // onStatus gets what the relay says, the moment in seconds since 1970, by the
  // relay's clock, at which this page's own clock began, and how wrong that may
  // be; onTrouble gets in words why it says nothing.
  constructor(url, onStatus, onTrouble) {
    this.#url = url;
    this.#onStatus = onStatus;
    this.#onTrouble = onTrouble;
  }

  open() {
    if (this.#closing) return;
    this.#closing = new AbortController();
    this.#keepAsking(this.#closing.signal);
  }

  close() {
    this.#closing?.abort();
    this.#closing = undefined;
  }

  async #keepAsking(closing) {
    let answered = performance.now();
    while (!closing.aborted) {
      const asked = performance.now();
      try {
        const status = await this.#ask(closing);
        answered = performance.now();
        const epoch = status.now - (asked + answered) / 2000;
        if (!closing.aborted) this.#onStatus(status, epoch, (answered - asked) / 2000);
      } catch (error) {
        if (closing.aborted) return;
        if (error instanceof Refusal) this.#onTrouble(error.message);
        else if (performance.now() - answered > UNNOTICED) this.#onTrouble(AWAY);
      }
      await new Promise((resolve) => { setTimeout(resolve, INTERVAL); });
    }
  }

  async #ask(closing) {
    const attempt = new AbortController();
    const abort = () => attempt.abort();
    const timer = setTimeout(abort, PATIENCE);
    closing.addEventListener('abort', abort);
    try {
      const answer = await fetch(this.#url, { cache: 'no-store', signal: attempt.signal });
      if (!answer.ok) throw await Refusal.of(answer);
      return await answer.json();
    } finally {
      clearTimeout(timer);
      closing.removeEventListener('abort', abort);
    }
  }
}

// The age in seconds of a picture that was captured then, by the relay's clock
// as far as it knows the box's. Where status shows that to be wrong, it is
// counted from the arrival.
export function age(captured, status, epoch) {
  const arrived = status.now - status.newest.since_arrival;
  const way = arrived - status.newest.captured;
  const wrong = way >= 0 && way <= LONGEST_WAY ? 0 : way;
  return Math.max(0, epoch + performance.now() / 1000 - captured - wrong);
}

// An age as people say it, with how wrong it may be where that is known and the
// age so short that it matters.
export function ageInWords(seconds, uncertainty) {
  if (uncertainty === undefined || seconds >= 10) return inWords(seconds) + ' old';
  const least = Math.max(uncertainty, 0.01);
  return `${seconds.toFixed(2)} s ± ${least.toFixed(2)} s old`;
}

// As people say it.
export function inWords(seconds) {
  if (seconds < 60) return seconds.toFixed(1) + ' s';
  if (seconds < 3600) return Math.floor(seconds / 60) + ' min';
  return Math.floor(seconds / 3600) + ' h';
}
