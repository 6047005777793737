// @ts-check
/** The field in which a message is written. What is typed is kept until the server has it. */
import * as outbox from '../net/outbox.js';
import { isTouch } from '../state/page.js';
import * as storage from '../state/storage.js';

/** Safari reports the Enter that ends a composition just after its end. */
const AFTER_COMPOSITION = 30;

class Composer extends HTMLElement {
  #composedAt = 0;

  connectedCallback() {
    const { form, field } = this;
    const session = this.session;
    field.value ||= storage.get(`draft:${session}`) ?? '';
    const tool = this.#select;
    const last = storage.get('tool');
    if (tool && !session && last && [...tool.options].some((option) => option.value === last)) tool.value = last;
    this.#resize();
    field.addEventListener('input', () => {
      this.#keep();
      this.#resize();
    });
    field.addEventListener('keydown', (event) => this.#onKey(event));
    field.addEventListener('compositionend', () => { this.#composedAt = Date.now(); });
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send();
    });
    form.querySelector('#folder')?.addEventListener('input', (event) => {
      const name = form.querySelector('.folder-name');
      if (name) name.textContent = /** @type {HTMLInputElement} */ (event.target).value || '~';
    });
    // It stays open: closing would move what the next press is aimed at.
    this.addEventListener('focusin', () => { this.dataset.open = ''; }, { once: true });
    document.addEventListener('rl:edit', this);
    if (!isTouch()) field.focus({ preventScroll: true });
  }

  disconnectedCallback() {
    document.removeEventListener('rl:edit', this);
  }

  get form() {
    return /** @type {HTMLFormElement} */ (this.querySelector('form'));
  }

  get field() {
    return /** @type {HTMLTextAreaElement} */ (this.querySelector('textarea'));
  }

  get session() {
    return this.form.dataset.session ?? '';
  }

  get #select() {
    return /** @type {HTMLSelectElement | null} */ (this.querySelector('select'));
  }

  /** A message that was not accepted comes back. @param {Event} event */
  handleEvent(event) {
    const text = /** @type {CustomEvent<string>} */ (event).detail;
    this.field.value = [text, this.field.value].filter(Boolean).join('\n\n');
    this.#keep();
    this.#resize();
    this.field.focus();
  }

  /** Takes over what changed on the server, and leaves what is being written. @param {Element} fresh */
  adopt(fresh) {
    const field = fresh.querySelector('textarea');
    const send = fresh.querySelector('.send');
    if (!field || !send) return;
    this.field.placeholder = field.placeholder;
    this.field.disabled = field.disabled;
    const own = /** @type {HTMLButtonElement} */ (this.querySelector('.send'));
    own.disabled = /** @type {HTMLButtonElement} */ (send).disabled;
    own.title = /** @type {HTMLElement} */ (send).title;
    own.setAttribute('aria-label', own.title);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const composing = event.isComposing || event.keyCode === 229
      || Date.now() - this.#composedAt < AFTER_COMPOSITION;
    if (event.key === 'Escape') this.field.blur();
    if (event.key !== 'Enter' || composing) return;
    const always = event.ctrlKey || event.metaKey;
    // On a touch keyboard there is no Shift+Enter, so Enter breaks the line there.
    if (always || (!event.shiftKey && !isTouch())) {
      event.preventDefault();
      this.form.requestSubmit();
    }
  }

  #send() {
    const text = this.field.value.trim();
    if (!text) return;
    const folder = /** @type {HTMLInputElement | null} */ (this.querySelector('#folder'));
    const tool = this.#select?.value ?? '';
    if (!this.session) storage.set('tool', tool);
    // Stored there before it is forgotten here.
    const letter = outbox.add({ session: this.session, text, tool, folder: folder?.value.trim() || '~' });
    this.field.value = '';
    this.#keep();
    this.#resize();
    this.dispatchEvent(new CustomEvent('rl:sent', { bubbles: true, detail: letter }));
  }

  #keep() {
    const key = `draft:${this.session}`;
    if (this.field.value) storage.set(key, this.field.value);
    else storage.remove(key);
  }

  /** For browsers without `field-sizing`; a height set from script is not an inline style of the markup. */
  #resize() {
    if (CSS.supports('field-sizing', 'content')) return;
    this.field.style.height = 'auto';
    this.field.style.height = `${this.field.scrollHeight}px`;
  }
}

customElements.define('rl-composer', Composer);
