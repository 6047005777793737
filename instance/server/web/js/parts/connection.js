// @ts-check
/** A thin line while the page cannot be sure of what it shows. */
import { fill, words } from '../state/page.js';
import { clockTime } from './time.js';

/** A short break is not worth a word. */
const PATIENCE = 1500;

const known = { socket: 'open', reads: true, signedOut: false, at: new Date() };

export function start() {
  document.addEventListener('rl:link', (event) => {
    known.socket = /** @type {CustomEvent} */ (event).detail;
    setTimeout(draw, known.socket === 'open' ? 0 : PATIENCE);
  });
  document.addEventListener('rl:read', (event) => {
    known.reads = /** @type {CustomEvent} */ (event).detail;
    if (known.reads) known.at = new Date();
    draw();
  });
  document.addEventListener('rl:signed-out', () => { known.signedOut = true; draw(); });
  addEventListener('offline', () => { known.reads = false; draw(); });
}

function draw() {
  for (const element of document.querySelectorAll('rl-connection')) {
    /** @type {Connection} */ (element).draw();
  }
}

class Connection extends HTMLElement {
  connectedCallback() {
    this.draw();
  }

  draw() {
    const text = sentence();
    if (this.dataset.text === text) return;
    this.dataset.text = text;
    this.replaceChildren();
    if (!text) return;
    const line = document.createElement('p');
    line.setAttribute('role', 'status');
    line.textContent = text;
    if (known.signedOut) {
      const link = document.createElement('a');
      link.href = `login?next=${encodeURIComponent(here())}`;
      link.textContent = words.client.sign_in ?? '';
      line.append(' ', link);
    }
    this.append(line);
  }
}

function sentence() {
  if (known.signedOut) return words.client.signed_out ?? '';
  if (!known.reads) return `${words.client.offline} ${fill(words.client.stale ?? '', { time: clockTime(known.at) })}`;
  return known.socket === 'open' ? '' : words.client.reconnecting ?? '';
}

function here() {
  return location.pathname.slice(new URL(document.baseURI).pathname.length);
}

customElements.define('rl-connection', Connection);
