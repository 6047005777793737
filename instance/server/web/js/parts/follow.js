// @ts-check
/**
 * Where the reader is. At the end the page follows; anywhere else nothing moves.
 *
 * The pane is laid out from its end (`column-reverse`), so it opens there without script and its
 * `scrollTop` is 0 at the end and negative above.
 */

const AT_END = 48;

export class Follow {
  following = true;
  unseen = 0;
  #pane;
  #changed;

  /** @param {HTMLElement} pane @param {() => void} changed */
  constructor(pane, changed) {
    this.#pane = pane;
    this.#changed = changed;
    pane.addEventListener('scroll', () => this.#onScroll(), { passive: true });
    pane.addEventListener('wheel', (event) => { if (event.deltaY < 0) this.following = false; }, { passive: true });
  }

  /** Changes the content without moving what is being read. @param {() => number} change returns new entries */
  around(change) {
    const anchor = this.following ? null : this.#firstVisible();
    const before = anchor?.getBoundingClientRect().top ?? 0;
    const added = change();
    if (this.following) {
      this.#pane.scrollTop = 0;
    } else {
      this.unseen += added;
      if (anchor?.isConnected) this.#pane.scrollTop += anchor.getBoundingClientRect().top - before;
    }
    this.#changed();
  }

  /** Opens at the last question when its answer is longer than the pane, else at the end. @param {boolean} busy */
  open(busy) {
    this.following = true;
    this.#pane.scrollTop = 0;
    if (!busy) this.#showTop('.entry.user:not(.pending)');
  }

  /** Shows the beginning of the answer that the reader was waiting for. */
  finish() {
    const last = [...this.#pane.querySelectorAll('.entry.user, .entry.assistant')].at(-1);
    if (this.following && last?.classList.contains('assistant')) this.#showTop('.entry.assistant');
  }

  /** Keeps a line in place while what it unfolds appears below it. @param {Element} summary */
  hold(summary) {
    this.following = false;
    const before = summary.getBoundingClientRect().top;
    summary.parentElement?.addEventListener('toggle', () => {
      this.#pane.scrollTop += summary.getBoundingClientRect().top - before;
    }, { once: true });
  }

  toEnd() {
    this.following = true;
    this.unseen = 0;
    this.#pane.scrollTop = 0;
    this.#changed();
  }

  /** @param {string} selector */
  #showTop(selector) {
    const entry = [...this.#pane.querySelectorAll(selector)].at(-1);
    if (!entry) return;
    const above = this.#pane.getBoundingClientRect().top + 12 - entry.getBoundingClientRect().top;
    if (above <= 0) return;
    this.#pane.scrollTop -= above;
    this.#onScroll();
  }

  #onScroll() {
    this.following = -this.#pane.scrollTop <= AT_END;
    if (this.following) this.unseen = 0;
    this.#changed();
  }

  #firstVisible() {
    const top = this.#pane.getBoundingClientRect().top;
    return [...this.#pane.querySelectorAll('.entry')].find((entry) => entry.getBoundingClientRect().bottom > top) ?? null;
  }
}
