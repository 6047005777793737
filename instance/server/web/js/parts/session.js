// @ts-check
/** The open session: keeps what is shown equal to what the server tells. */
import { read } from '../net/fragment.js';
import * as outbox from '../net/outbox.js';
import { coalesced } from '../state/coalesced.js';
import { announce, fill, words } from '../state/page.js';
import { addCopyButtons } from './code.js';
import { mergeDays, reconcile } from './entries.js';
import { Follow } from './follow.js';
import { act, stop } from './menu.js';
import { morph } from './morph.js';
import { elapsed, localise } from './time.js';
import { toast } from './toast.js';

const HEARD = ['rl:hint', 'rl:accepted', 'rl:writing'];

class Session extends HTMLElement {
  /** @type {string | undefined} */
  #etag;
  /** What the server last wrote, by part. @type {Record<string, string>} */
  #parts = {};
  /** @type {Follow | null} */
  #follow = null;
  /** @type {number | undefined} */
  #timer;
  #beats = 0;

  /** Of the text that is being written. @type {string | undefined} */
  #written;

  refresh = coalesced(() => this.#refresh());
  write = coalesced(() => this.#write(), 120);

  connectedCallback() {
    if (!this.id_) return;
    this.#remember(this);
    this.#dress(this);
    const pane = /** @type {HTMLElement} */ (this.querySelector('.scroll'));
    this.#follow = new Follow(pane, () => this.#drawLatest());
    this.#follow.open(isBusy(this.dataset.state));
    this.querySelector('.to-latest')?.addEventListener('click', () => this.#follow?.toEnd());
    this.addEventListener('submit', (event) => this.#onSubmit(event));
    this.addEventListener('click', (event) => this.#onClick(event));
    // Toggling does not bubble.
    this.addEventListener('toggle', (event) => this.#onToggle(event), true);
    this.addEventListener('rl:sent', () => this.#follow?.toEnd());
    for (const name of HEARD) document.addEventListener(name, this);
    this.#timer = setInterval(() => this.#beat(), 1000);
    this.#tick();
  }

  /** A hint may get lost; work that is shown as under way is looked at now and then without one. */
  #beat() {
    this.#tick();
    this.#beats += 1;
    if (this.#beats % 5 === 0 && isBusy(this.dataset.state)) this.refresh();
  }

  disconnectedCallback() {
    clearInterval(this.#timer);
    for (const name of HEARD) document.removeEventListener(name, this);
  }

  get id_() {
    return this.dataset.session ?? '';
  }

  /** @param {Event} event */
  handleEvent(event) {
    const { detail } = /** @type {CustomEvent} */ (event);
    const session = event.type === 'rl:accepted' ? detail.session : detail;
    if (session !== null && session !== this.id_) return;
    if (event.type === 'rl:writing') this.write();
    else this.refresh();
  }

  async #refresh() {
    const result = await read(`ui/sessions/${this.id_}`, this.#etag);
    if (!this.isConnected) return;
    if (result.kind === 'same') this.#settle();
    if (result.kind !== 'new') return;
    const fresh = /** @type {HTMLElement | null} */ (result.nodes.querySelector('rl-session'));
    if (fresh) this.#apply(fresh);
    // Only now: what could not be shown is read again.
    this.#etag = result.etag;
  }

  /** Shows more of the text that is being written. */
  async #write() {
    if (!this.querySelector('.writing')) return;
    const result = await read(`ui/sessions/${this.id_}/writing`, this.#written);
    const place = this.querySelector('.writing');
    if (result.kind !== 'new' || !place) return;
    this.#written = result.etag;
    // The row above says what is being done.
    if (!place.firstElementChild) this.refresh();
    this.#follow?.around(() => {
      place.replaceChildren(result.nodes);
      return 0;
    });
  }

  /** @param {HTMLElement} fresh */
  #apply(fresh) {
    const was = this.dataset.state;
    this.#follow?.around(() => {
      const entries = /** @type {Element} */ (this.querySelector('.entries'));
      const { added, told } = reconcile(entries, /** @type {Element} */ (fresh.querySelector('.entries')));
      for (const entry of added) this.#dress(entry);
      this.#showRunning(fresh);
      this.#swap(fresh, '.queue-box');
      this.#showBar(fresh);
      this.#settle();
      return told;
    });
    const composer = /** @type {any} */ (this.querySelector('rl-composer'));
    const newComposer = fresh.querySelector('rl-composer');
    if (newComposer) composer?.adopt(newComposer);
    this.dataset.state = fresh.dataset.state;
    this.dataset.name = fresh.dataset.name;
    this.#tick();
    const [wasBusy, busy] = [isBusy(was), isBusy(fresh.dataset.state)];
    if (wasBusy && !busy) this.#finished();
    if (!wasBusy && busy) announce(words.client.started ?? '');
    this.dispatchEvent(new CustomEvent('rl:shown', { bubbles: true }));
  }

  #finished() {
    const last = [...this.querySelectorAll('.entries > .entry')].at(-1);
    const failed = last?.classList.contains('failed');
    announce((failed ? words.client.failed : words.client.answered) ?? '');
    this.#follow?.finish();
  }

  #settle() {
    /** @type {any} */ (this.querySelector('rl-outbox'))?.settle();
  }

  /** Replaces a part when the server wrote it differently. @param {Element} fresh @param {string} selector */
  #swap(fresh, selector) {
    const now = fresh.querySelector(selector);
    const old = this.querySelector(selector);
    if (!now || !old || this.#parts[selector] === now.outerHTML) return;
    this.#parts[selector] = now.outerHTML;
    this.#dress(now);
    old.replaceWith(now);
  }

  /** A menu that is open stays so, and a name that is being written is not taken away. @param {Element} fresh */
  #showBar(fresh) {
    const now = fresh.querySelector('.bar');
    const old = this.querySelector('.bar');
    if (!now || !old || old.querySelector('.rename') || this.#parts['.bar'] === now.outerHTML) return;
    this.#parts['.bar'] = now.outerHTML;
    morph(old, now, '.badge');
  }

  /** @param {Element} root */
  #remember(root) {
    for (const selector of ['.running', '.queue-box', '.bar']) {
      this.#parts[selector] = root.querySelector(selector)?.outerHTML ?? '';
    }
  }

  /** The row changes many times a second; its buttons and what is unfolded stay. @param {Element} fresh */
  #showRunning(fresh) {
    const now = fresh.querySelector('.running');
    const old = this.querySelector('.running');
    if (!now || !old || this.#parts['.running'] === now.outerHTML) return;
    const written = now.outerHTML;
    this.#written = undefined;
    this.#dress(now);
    morph(old, now, '.elapsed, .steps-body');
    this.#parts['.running'] = written;
    const steps = old.querySelector('details.growing');
    if (steps instanceof HTMLDetailsElement && steps.open) this.#loadSteps(steps);
  }

  /** @param {ParentNode} root */
  #dress(root) {
    localise(root);
    addCopyButtons(root);
  }

  /** @param {Event} event */
  #onToggle(event) {
    const details = event.target;
    if (!(details instanceof HTMLDetailsElement) || !details.open) return;
    if (details.dataset.steps && !details.dataset.loaded) this.#loadSteps(details);
  }

  /** @param {HTMLDetailsElement} details */
  async #loadSteps(details) {
    const result = await read(details.dataset.steps ?? '');
    const body = details.querySelector('.steps-body');
    if (!body) return;
    if (result.kind !== 'new') {
      body.textContent = words.client.not_loaded ?? '';
      return;
    }
    this.#dress(result.nodes);
    const open = [...body.children].map((step) => step instanceof HTMLDetailsElement && step.open);
    [...result.nodes.children].forEach((step, i) => {
      if (step instanceof HTMLDetailsElement && open[i]) step.open = true;
    });
    this.#follow?.around(() => { body.replaceChildren(result.nodes); return 0; });
    if (!details.classList.contains('growing')) details.dataset.loaded = '';
  }

  /** @param {SubmitEvent} event */
  async #onSubmit(event) {
    const form = /** @type {HTMLFormElement} */ (event.target);
    if (form.matches('.retry')) {
      event.preventDefault();
      const data = new FormData(form);
      outbox.add({ session: this.id_, text: String(data.get('text')), id: String(data.get('requestId')) });
      form.querySelector('button')?.setAttribute('disabled', '');
    } else if (form.matches('.stop')) {
      event.preventDefault();
      form.querySelector('button')?.setAttribute('disabled', '');
      if (!await stop(this.id_)) form.querySelector('button')?.removeAttribute('disabled');
    }
  }

  /** @param {MouseEvent} event */
  async #onClick(event) {
    const target = /** @type {Element} */ (event.target);
    const summary = target.closest('.timeline summary');
    if (summary) this.#follow?.hold(summary);
    const button = target.closest('[data-do]');
    if (button instanceof HTMLElement) {
      button.closest('details')?.removeAttribute('open');
      act(this, button.dataset.do ?? '');
    }
    const earlier = target.closest('[data-fragment]');
    if (earlier instanceof HTMLElement) {
      event.preventDefault();
      const result = await read(earlier.dataset.fragment ?? '');
      if (result.kind !== 'new') {
        toast(words.client.not_loaded ?? '');
        return;
      }
      this.#dress(result.nodes);
      this.#follow?.around(() => {
        earlier.closest('.earlier')?.replaceWith(result.nodes);
        mergeDays(/** @type {Element} */ (this.querySelector('.entries')));
        return 0;
      });
    }
  }

  #drawLatest() {
    const button = this.querySelector('.to-latest');
    const label = button?.querySelector('span');
    const follow = this.#follow;
    if (!(button instanceof HTMLElement) || !label || !follow) return;
    button.hidden = follow.following;
    label.textContent = (follow.unseen
      ? fill(words.client.new_below ?? '', { n: follow.unseen })
      : words.client.latest) ?? '';
  }

  #tick() {
    const row = this.querySelector('.now');
    const place = row?.querySelector('.elapsed');
    const since = Date.parse(row instanceof HTMLElement ? row.dataset.since ?? '' : '');
    if (place) place.textContent = Number.isNaN(since) ? '' : elapsed(Date.now() - since);
  }
}

/** @param {string | undefined} state */
function isBusy(state) {
  return state === 'running' || state === 'queued';
}

customElements.define('rl-session', Session);
