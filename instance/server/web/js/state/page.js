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
