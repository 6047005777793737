// @ts-check
/** The field in which a message is written. What is typed is kept until the server has it. */
import * as outbox from '../net/outbox.js';
import { isTouch, words } from '../state/page.js';
import * as storage from '../state/storage.js';
import { Attached } from './attached.js';
import { Choice } from './choice.js';

/** Safari reports the Enter that ends a composition just after its end. */
const AFTER_COMPOSITION = 30;

class Composer extends HTMLElement {
  #composedAt = 0;
  /** @type {Attached | null} */
  #attached = null;
  /** @type {Choice | null} */
  #choice = null;

  connectedCallback() {
    const { form, field } = this;
    const session = this.session;
    field.value ||= storage.get(`draft:${session}`) ?? '';
    const [list, choice] = [this.querySelector('.attached'), this.querySelector('.choice')];
    this.#attached = new Attached(/** @type {HTMLElement} */ (list), session, (count) => this.#onFiles(count > 0));
    if (choice instanceof HTMLElement) this.#choice = new Choice(choice, session);
    this.#resize();
    field.addEventListener('input', () => {
      this.#keep();
      this.#resize();
    });
    field.addEventListener('keydown', (event) => this.#onKey(event));
    field.addEventListener('paste', (event) => this.#onPaste(event));
    this.querySelector('.attach')?.addEventListener('click', () => this.#picker.click());
    this.#picker.addEventListener('change', () => {
      this.attach(this.#picker.files ?? []);
      this.#picker.value = '';
      field.focus({ preventScroll: true });
    });
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
    this.#attached?.release();
  }

  /** Adds files, unless nothing can be sent here. @param {Iterable<File>} files */
  attach(files) {
    if (this.field.disabled) return;
    this.dataset.open = '';
    this.#attached?.add(files);
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

  get #picker() {
    return /** @type {HTMLInputElement} */ (this.querySelector('.pick'));
  }

  /** A message that was not accepted comes back. @param {Event} event */
  handleEvent(event) {
    const { text, files } = /** @type {CustomEvent<import('../net/delivery.js').Letter>} */ (event).detail;
    this.#attached?.restore(files);
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
    this.querySelector('.attach')?.toggleAttribute('disabled', field.disabled);
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
    const files = this.#attached?.take();
    const text = this.field.value.trim() || (files?.taken.length ? words.client.only_files ?? '' : '');
    if (!text) return;
    const folder = /** @type {HTMLInputElement | null} */ (this.querySelector('#folder'));
    const choice = this.#choice?.value;
    if (!this.session) storage.set('tool', choice?.tool ?? '');
    // Stored there before it is forgotten here.
    const letter = outbox.add({
      session: this.session, text, folder: folder?.value.trim() || '~', files: files?.taken ?? [], ...choice,
    });
    this.field.value = '';
    files?.forget();
    this.#keep();
    this.#resize();
    this.dispatchEvent(new CustomEvent('rl:sent', { bubbles: true, detail: letter }));
  }

  /** @param {ClipboardEvent} event */
  #onPaste(event) {
    const files = event.clipboardData?.files;
    // A table copied from a program comes as text and as a picture; the text is meant.
    if (!files?.length || event.clipboardData?.types.includes('text/plain')) return;
    event.preventDefault();
    this.attach(files);
  }

  /** Files need no words. @param {boolean} some */
  #onFiles(some) {
    this.form.toggleAttribute('data-files', some);
    this.field.required = !some;
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
