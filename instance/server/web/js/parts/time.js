// @ts-check
/** Times in the reader's own zone; the server can only write its own. */
import { fill, language, words } from '../state/page.js';

const DAY = 86_400_000;
const clock = new Intl.DateTimeFormat(language, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const day = new Intl.DateTimeFormat(language, { weekday: 'short', day: 'numeric', month: 'long' });
const dayOfYear = new Intl.DateTimeFormat(language, { day: 'numeric', month: 'short', year: 'numeric' });
const dayOnly = new Intl.DateTimeFormat(language, { day: 'numeric', month: 'short' });
const full = new Intl.DateTimeFormat(language, { dateStyle: 'full', timeStyle: 'short' });

/** Writes every time below an element. @param {ParentNode} root */
export function localise(root) {
  for (const node of root.querySelectorAll('time[data-show]')) {
    const element = /** @type {HTMLTimeElement} */ (node);
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const text = shown(at, element.dataset.show ?? '');
    if (element.textContent !== text) element.textContent = text;
    element.title ||= full.format(at);
  }
}

/** Keeps `5 min` true while the page is open. */
export function start() {
  localise(document);
  setInterval(() => { if (!document.hidden) localise(document); }, 30_000);
}

/** How long something runs: `0:42`, `1:02:10`. @param {number} ms */
export function elapsed(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const two = (/** @type {number} */ n) => String(n).padStart(2, '0');
  return `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(seconds % 60)}`;
}

/** @param {Date} at */
export const clockTime = (at) => clock.format(at);

/** @param {Date} at @param {string} show */
function shown(at, show) {
  if (show === 'clock') return clock.format(at);
  if (show === 'ago') return ago(at);
  const days = Math.round((midnight(new Date()) - midnight(at)) / DAY);
  if (days === 0) return words.client.today ?? '';
  if (days === 1) return words.client.yesterday ?? '';
  return days < 300 ? day.format(at) : dayOfYear.format(at);
}

/** @param {Date} at */
function ago(at) {
  const minutes = Math.floor((Date.now() - at.getTime()) / 60_000);
  if (minutes < 1) return words.time.now ?? '';
  if (minutes < 60) return fill(words.time.minutes ?? '', { n: minutes });
  if (minutes < 24 * 60) return fill(words.time.hours ?? '', { n: Math.floor(minutes / 60) });
  if (minutes < 7 * 24 * 60) return fill(words.time.days ?? '', { n: Math.floor(minutes / 1440) });
  return (minutes < 300 * 24 * 60 ? dayOnly : dayOfYear).format(at);
}

/** @param {Date} at */
function midnight(at) {
  return new Date(at.getFullYear(), at.getMonth(), at.getDate()).getTime();
}
