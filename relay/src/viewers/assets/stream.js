// Pictures of one or more cameras over one connection.
//
// The body is a sequence of parts as in multipart/x-mixed-replace, each with an
// exact Content-Length, of the type application/octet-stream, since WebKit's
// fetch reads no multipart. A part tells its camera (X-Camera, where there are
// several), when its picture was captured (X-Timestamp), and whether it stands
// in the place of one that is missing (X-Pinhole-Placeholder).

// In milliseconds. A camera that has no picture sends a placeholder every two
// seconds, so a connection that is silent for longer than this is broken.
const SILENCE = 6000;
const SHORTEST_PAUSE = 250;
const LONGEST_PAUSE = 5000;

// In bytes.
const LONGEST_LINE = 4096;
const LARGEST_PART = 32 << 20;

// Whom the relay does not serve it tells why, in words for people.
export class Refusal extends Error {
  static async of(answer) {
    const isText = answer.headers.get('Content-Type')?.startsWith('text/plain');
    const words = isText ? (await answer.text()).slice(0, 300).trim() : '';
    return new Refusal(words || `The relay refuses (HTTP status ${answer.status})`);
  }
}

// A stream that is open, or tries to be, from open() to close().
export class Stream {
  #url;
  #onPart;
  #onLoss;
  #closing;

  // onPart gets { camera, captured, placeholder, jpeg }; onLoss why the stream
  // broke. It is opened again after that, whatever the reason was.
  constructor(url, onPart, onLoss) {
    this.#url = url;
    this.#onPart = onPart;
    this.#onLoss = onLoss;
  }

  open() {
    if (this.#closing) return;
    this.#closing = new AbortController();
    this.#keepOpen(this.#closing.signal);
  }

  close() {
    this.#closing?.abort();
    this.#closing = undefined;
  }

  async #keepOpen(closing) {
    let lost;
    while (!closing.aborted) {
      let why;
      try {
        await this.#read(closing, () => { lost = undefined; });
        why = new Error('the stream ended');
      } catch (error) {
        why = error;
      }
      if (closing.aborted) return;
      lost ??= performance.now();
      this.#onLoss(why);
      const longest = why instanceof Refusal ? LONGEST_PAUSE : 0;
      await pause(Math.max(pauseAfter(performance.now() - lost), longest), closing);
    }
  }

  async #read(closing, onProgress) {
    const attempt = new AbortController();
    const abort = () => attempt.abort();
    closing.addEventListener('abort', abort);
    let heard = performance.now();
    const watch = setInterval(() => {
      if (performance.now() - heard > SILENCE) abort();
    }, 1000);
    try {
      const answer = await fetch(this.#url, { cache: 'no-store', signal: attempt.signal });
      if (!answer.ok) throw await Refusal.of(answer);
      const body = new Body(answer.body.getReader(), () => { heard = performance.now(); });
      for (;;) {
        const part = await body.part();
        if (!part) return;
        onProgress();
        this.#onPart(part);
      }
    } finally {
      clearInterval(watch);
      closing.removeEventListener('abort', abort);
      // Whatever ended the reading ends the connection.
      abort();
    }
  }
}

// A tenth of the time that the relay has been away: one that was restarted is
// found within a moment, and one that is gone is not asked all the time. Not
// all viewers come at the same moment.
function pauseAfter(away) {
  const time = Math.min(Math.max(away / 10, SHORTEST_PAUSE), LONGEST_PAUSE);
  return time * (0.75 + Math.random() / 2);
}

// Ends early when the network comes back.
function pause(time, closing) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      window.removeEventListener('online', end);
      closing.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, time);
    window.addEventListener('online', end);
    closing.addEventListener('abort', end);
  });
}

// Reads parts out of chunks that are cut anywhere.
class Body {
  #reader;
  #onChunk;
  #chunk = new Uint8Array(0);
  #at = 0;

  constructor(reader, onChunk) {
    this.#reader = reader;
    this.#onChunk = onChunk;
  }

  // The next part; undefined at the end of the body.
  async part() {
    const fields = new Map();
    let line;
    do {
      line = await this.#line();
      if (line === undefined) return undefined;
    } while (!line.startsWith('--'));
    while ((line = await this.#line())) {
      const colon = line.indexOf(':');
      fields.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
    }
    if (line === undefined) return undefined;
    const length = Number(fields.get('content-length'));
    if (!(length >= 0 && length <= LARGEST_PART)) throw new Error('a part without its length');
    return {
      camera: fields.get('x-camera'),
      // In seconds since 1970, by the clock of the camera's box.
      captured: Number(fields.get('x-timestamp')),
      placeholder: fields.get('x-pinhole-placeholder'),
      jpeg: await this.#bytes(length),
    };
  }

  async #line() {
    let line = '';
    for (;;) {
      if (this.#at === this.#chunk.length && !(await this.#more())) return undefined;
      const found = this.#chunk.indexOf(10, this.#at);
      const end = found < 0 ? this.#chunk.length : found;
      if (line.length + end - this.#at > LONGEST_LINE) throw new Error('a line that does not end');
      line += String.fromCharCode(...this.#chunk.subarray(this.#at, end));
      this.#at = found < 0 ? end : end + 1;
      if (found >= 0) return line.trimEnd();
    }
  }

  async #bytes(length) {
    const bytes = new Uint8Array(length);
    for (let filled = 0; filled < length;) {
      if (this.#at === this.#chunk.length && !(await this.#more())) {
        throw new Error('the stream broke within a picture');
      }
      const piece = this.#chunk.subarray(this.#at, this.#at + length - filled);
      bytes.set(piece, filled);
      filled += piece.length;
      this.#at += piece.length;
    }
    return bytes;
  }

  async #more() {
    const { done, value } = await this.#reader.read();
    if (done) return false;
    this.#onChunk();
    this.#chunk = value;
    this.#at = 0;
    return true;
  }
}
