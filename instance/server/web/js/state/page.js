// @ts-check
/** Facts and words that the server wrote into the page. */

/**
 * @typedef {{ client: Record<string, string>, time: Record<string, string> }} Words
 * @typedef {{ instance: string, assets: string, words: Words }} Page
 */

/** @type {Page} */
const page = JSON.parse(document.getElementById('page-data')?.textContent ?? '{}');

export const instance = page.instance;
export const words = page.words;
export const language = document.documentElement.lang;

/** Puts values in place of `{name}`. @param {string} text @param {Record<string, string | number>} values */
export function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (place, name) => String(values[name] ?? place));
}

/** Says something to those who listen to the page. @param {string} text */
export function announce(text) {
  const place = document.getElementById('announcer');
  if (place) place.textContent = text;
}

/** Whether the list is a drawer over the session. */
export const isNarrow = () => matchMedia('(max-width: 719.98px)').matches;

/** Whether fingers are the main pointer, so that focusing a field raises a keyboard. */
export const isTouch = () => matchMedia('(pointer: coarse)').matches;

/**
 * Runs a task again when asked while it runs, never twice at once, with at least `gap` ms between.
 * @param {() => Promise<void>} task @param {number} gap @returns {() => Promise<void>}
 */
export function coalesced(task, gap = 400) {
  /** @type {Promise<void> | null} */
  let running = null;
  /** @type {Promise<void> | null} */
  let next = null;
  const start = () => {
    // One that fails must not keep those that were asked for meanwhile.
    running = task().catch((error) => reportError(error))
      .finally(() => new Promise((done) => setTimeout(done, gap)))
      .finally(() => { running = null; });
    return running;
  };
  return () => {
    if (!running) return start();
    next ??= running.then(() => { next = null; return start(); });
    return next;
  };
}
