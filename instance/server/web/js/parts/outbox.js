// @ts-check
/** Messages on their way, drawn as bubbles at the end of the transcript. */
import { discard, letters, retry } from '../net/outbox.js';
import { fill, words } from '../state/page.js';

/** @typedef {import('../net/delivery.js').Letter} Letter */

/** @type {Record<Letter['state'], (letter: Letter) => string>} */
const SENTENCES = {
  sending: () => words.client.sending ?? '',
  waiting: () => words.client.waiting ?? '',
  refused: (letter) => fill(words.client.refused ?? '', { reason: letter.reason }),
};

class Outbox extends HTMLElement {
  /** Accepted, but not yet in what the server last told. @type {Letter[]} */
  #settling = [];

  connectedCallback() {
    document.addEventListener('rl:outbox', this);
    document.addEventListener('rl:accepted', this);
    this.draw();
  }

  disconnectedCallback() {
    document.removeEventListener('rl:outbox', this);
    document.removeEventListener('rl:accepted', this);
  }

  /** @param {Event} event */
  handleEvent(event) {
    const letter = /** @type {CustomEvent<Letter>} */ (event).detail;
    if (event.type === 'rl:accepted' && this.#isMine(letter)) this.#settling.push(letter);
    this.draw();
  }

  /** The server's own entries now stand in the page. */
  settle() {
    this.#settling = [];
    this.draw();
  }

  draw() {
    const mine = letters().filter((letter) => this.#isMine(letter));
    const shown = [...this.#settling.filter((one) => !mine.some((two) => two.id === one.id)), ...mine];
    this.replaceChildren(...shown.map(bubble));
  }

  /** @param {Letter} letter */
  #isMine(letter) {
    return letter.session === this.dataset.session;
  }
}

/** @param {Letter} letter */
function bubble(letter) {
  const entry = element('div', `entry user pending ${letter.state}`);
  const text = element('div', 'bubble');
  text.textContent = letter.text;
  const state = element('p', 'pending-state');
  state.textContent = SENTENCES[letter.state](letter);
  if (letter.state !== 'sending') {
    state.append(
      action(words.client.retry, () => retry(letter)),
      action(words.client.edit, () => {
        document.dispatchEvent(new CustomEvent('rl:edit', { detail: letter.text }));
        discard(letter);
      }),
      action(words.client.discard, () => discard(letter)),
    );
  }
  entry.append(text, state);
  return entry;
}

/** @param {string | undefined} label @param {() => void} run */
function action(label, run) {
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'button small';
  button.textContent = label ?? '';
  button.addEventListener('click', run);
  return button;
}

/** @param {string} name @param {string} className */
function element(name, className) {
  const made = document.createElement(name);
  made.className = className;
  return made;
}

customElements.define('rl-outbox', Outbox);
