// What the camera's owner can set on its webcam. It is asked for while it is
// seen; a change is sent at once, and what became of it is shown.
import { Refusal } from './stream.js';

// In milliseconds.
const INTERVAL = 5000;
const PATIENCE = 15000;

const element = (id) => document.getElementById(id);
const settings = element('settings');
const list = element('controls');
const reset = element('settings-reset');
const { name, owner } = settings.dataset;

// An address is copied without a thought, and an owner's must not be. A cookie
// opens this page from here on. The browser's history of pages has it still.
history.replaceState(history.state, '', location.pathname + location.hash);

// The rows, by the name of their control.
const rows = new Map();
// What is to be sent next, while something is being sent.
let pending;
let sending = false;
// The row whose slider is being dragged.
let dragged;

function say(words) {
  // Screen readers speak a change of it.
  if (element('settings-message').textContent !== words) {
    element('settings-message').textContent = words;
  }
}

async function ask(change) {
  const attempt = new AbortController();
  const timer = setTimeout(() => attempt.abort(), PATIENCE);
  try {
    const answer = await fetch(`/${name}/controls`, {
      cache: 'no-store',
      signal: attempt.signal,
      headers: { Authorization: `Bearer ${owner}`, 'Content-Type': 'application/json' },
      ...(change && { method: 'POST', body: JSON.stringify(change) }),
    });
    if (!answer.ok) throw await Refusal.of(answer);
    return await answer.json();
  } finally {
    clearTimeout(timer);
  }
}

// Asks, or sends what is pending, one after the other.
async function exchange() {
  if (sending) return;
  sending = true;
  do {
    const change = pending;
    pending = undefined;
    try {
      const report = await ask(change);
      if (!pending) show(report);
    } catch (error) {
      say(error instanceof Refusal ? error.message : 'The relay does not answer.');
      enable(false);
    }
  } while (pending);
  sending = false;
}

function change(control, value) {
  pending ??= { set: {} };
  pending.set[control] = value;
  exchange();
}

function enable(enabled) {
  for (const row of rows.values()) row.input.disabled = !enabled || row.fixed;
  reset.hidden = !enabled;
}

// Shows what the box says. Nothing is waiting to be sent, so what was changed
// here has been answered, if only by silence.
function show(report) {
  const names = report.controls.map((control) => control.name);
  if (names.join() !== [...rows.keys()].join()) build(report.controls);
  for (const control of report.controls) rows.get(control.name).update(control);
  enable(names.length > 0);
  if (!report.webcam) say('There is no webcam to be set now. Is it plugged in?');
  else if (names.length === 0) say('This webcam has nothing that could be set.');
  else say(report.problems.join(' '));
}

function build(controls) {
  rows.clear();
  list.replaceChildren(...controls.map((control) => {
    const row = new Row(control);
    rows.set(control.name, row);
    return row.node;
  }));
}

// One control: its label, what it is set with, and its value in words.
class Row {
  constructor(control) {
    this.kind = control.kind;
    this.input = document.createElement(control.kind === 'menu' ? 'select' : 'input');
    this.input.id = `control-${control.name}`;
    this.value = document.createElement('output');
    this.value.htmlFor = this.input.id;
    const label = document.createElement('label');
    label.htmlFor = this.input.id;
    label.textContent = control.label || control.name;
    if (control.kind === 'switch') this.input.type = 'checkbox';
    if (control.kind === 'number') {
      this.input.type = 'range';
      this.input.min = control.minimum;
      this.input.max = control.maximum;
      this.input.step = control.step;
    }
    for (const entry of control.menu ?? []) {
      this.input.append(new Option(entry.name, entry.value));
    }
    this.input.addEventListener('pointerdown', () => {
      if (this.kind === 'number') dragged = this;
    });
    this.input.addEventListener('input', () => {
      this.changed = true;
      this.tell();
      change(control.name, this.chosen());
    });
    this.node = document.createElement('div');
    this.node.append(label, this.input, this.value);
  }

  chosen() {
    return this.kind === 'switch' ? Number(this.input.checked) : Number(this.input.value);
  }

  update(control) {
    this.fixed = control.inactive || control.read_only;
    if (this.fixed || !this.isInUse()) {
      if (this.kind === 'switch') this.input.checked = control.value !== 0;
      else this.input.value = control.value;
      this.changed = false;
    }
    this.tell();
  }

  // Nobody's slider may move under the hand. Where the focus is, somebody may
  // be choosing: there, only the answer to a change is shown.
  isInUse() {
    return dragged === this || (document.activeElement === this.input && !this.changed);
  }

  tell() {
    if (this.fixed) this.value.textContent = 'automatic';
    else this.value.textContent = this.kind === 'number' ? this.input.value : '';
  }
}

for (const end of ['pointerup', 'pointercancel', 'blur']) {
  addEventListener(end, () => { dragged = undefined; });
}

reset.addEventListener('click', () => {
  for (const row of rows.values()) row.changed = true;
  pending = { reset: true, set: {} };
  exchange();
});

// Only what is seen is worth a webcam's time.
let timer;
function look() {
  clearInterval(timer);
  if (!settings.open || document.hidden) return;
  if (rows.size === 0) say('The webcam is being asked…');
  exchange();
  timer = setInterval(exchange, INTERVAL);
}

settings.addEventListener('toggle', look);
document.addEventListener('visibilitychange', look);
look();
