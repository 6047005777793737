// @ts-check
/** Messages on their way, drawn as bubbles at the end of the transcript. */
import { discard, letters, progress, retry, withdraw } from '../net/outbox.js';
import { fill, words } from '../state/page.js';
import { fileLine } from './file.js';

/** @typedef {import('../net/delivery.js').Letter} Letter */

/** @type {Record<Letter['state'], (letter: Letter) => string>} */
const SENTENCES = {
  sending: (letter) => {
    const share = progress(letter);
    if (share === undefined) return words.client.sending ?? '';
    return fill(words.client.uploading ?? '', { percent: Math.floor(share * 100) });
  },
  waiting: () => words.client.waiting ?? '',
  refused: (letter) => fill(words.client.refused ?? '', { reason: letter.reason }),
};

class Outbox extends HTMLElement {
  /** Accepted, but not yet in what the server last told. @type {Letter[]} */
  #settling = [];

  connectedCallback() {
    document.addEventListener('rl:outbox', this);
    document.addEventListener('rl:accepted', this);
    document.addEventListener('rl:progress', this);
    this.draw();
  }

  disconnectedCallback() {
    document.removeEventListener('rl:outbox', this);
    document.removeEventListener('rl:accepted', this);
    document.removeEventListener('rl:progress', this);
  }

  /** @param {Event} event */
  handleEvent(event) {
    if (event.type === 'rl:progress') {
      this.#move(/** @type {CustomEvent<string>} */ (event).detail);
      return;
    }
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

  /** Tells how far a letter's files are. @param {string} id */
  #move(id) {
    const letter = letters().find((one) => one.id === id);
    const bar = this.querySelector(`[data-letter="${id}"] progress`);
    const text = bar?.parentElement?.querySelector('.pending-word');
    if (!letter || !(bar instanceof HTMLProgressElement) || !text) return;
    bar.value = progress(letter) ?? 0;
    text.textContent = SENTENCES[letter.state](letter);
  }

  /** @param {Letter} letter */
  #isMine(letter) {
    return letter.session === this.dataset.session;
  }
}

/** @param {Letter} letter */
function bubble(letter) {
  const entry = element('div', `entry user pending ${letter.state}`);
  entry.dataset.letter = letter.id;
  const text = element('div', 'bubble');
  text.textContent = letter.text;
  const state = element('p', 'pending-state');
  const word = element('span', 'pending-word');
  word.textContent = SENTENCES[letter.state](letter);
  state.append(word);
  if (letter.state === 'sending' && letter.files.length) {
    const bar = document.createElement('progress');
    bar.max = 1;
    bar.value = progress(letter) ?? 0;
    state.append(bar, action(words.client.discard, () => discard(letter)));
  }
  if (letter.state !== 'sending') {
    state.append(
      action(words.client.retry, () => retry(letter)),
      action(words.client.edit, () => {
        withdraw(letter);
        document.dispatchEvent(new CustomEvent('rl:edit', { detail: letter }));
      }),
      action(words.client.discard, () => discard(letter)),
    );
  }
  if (letter.files.length) {
    const list = element('ul', 'sent-files');
    list.append(...letter.files.map(fileLine));
    entry.append(list);
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
