// @ts-check
/**
 * Messages on their way: stored before they are posted, posted under one id until accepted or refused.
 *
 * Dispatches `rl:outbox` when the letters change and `rl:accepted` with the letter that arrived.
 */
import * as storage from '../state/storage.js';
import { delay } from './backoff.js';
import { due, outcome, requestId } from './delivery.js';
import { request } from './http.js';

/** @typedef {import('./delivery.js').Letter} Letter */

/** @type {Set<string>} */
const underway = new Set();
let attempt = 0;
/** @type {number | undefined} */
let timer;

export function start() {
  storage.watch('outbox:', changed);
  addEventListener('online', retryNow);
  document.addEventListener('rl:link', (event) => {
    if (/** @type {CustomEvent} */ (event).detail === 'open') retryNow();
  });
  pump();
}

/** @returns {Letter[]} oldest first */
export function letters() {
  return storage.keys('outbox:')
    .flatMap((key) => parsed(storage.get(key)))
    .sort((a, b) => a.at - b.at);
}

/**
 * Stores a message and posts it.
 * @param {{ session: string, text: string, tool: string, folder: string, id?: string }} message
 * @returns {Letter}
 */
export function add(message) {
  const id = message.id ?? requestId(Date.now(), crypto.getRandomValues(new Uint8Array(6)));
  /** @type {Letter} */
  const letter = { ...message, id, at: Date.now(), state: 'sending', reason: '' };
  store(letter);
  pump();
  return letter;
}

/** Posts a refused one again. @param {Letter} letter */
export function retry(letter) {
  store({ ...letter, state: 'sending', reason: '' });
  retryNow();
}

/** @param {Letter} letter */
export function discard(letter) {
  storage.remove(`outbox:${letter.id}`);
  changed();
}

function retryNow() {
  attempt = 0;
  pump();
}

function pump() {
  clearTimeout(timer);
  for (const letter of due(letters(), underway)) post(letter);
}

/** @param {Letter} letter */
async function post(letter) {
  underway.add(letter.id);
  const result = await delivered(letter);
  underway.delete(letter.id);
  const current = parsed(storage.get(`outbox:${letter.id}`))[0];
  // Discarded, or delivered by another tab.
  if (!current) return;
  if (result.kind === 'accepted') {
    attempt = 0;
    storage.remove(`outbox:${letter.id}`);
    document.dispatchEvent(new CustomEvent('rl:accepted', { detail: current }));
    changed();
    pump();
  } else if (result.kind === 'refused') {
    store({ ...current, state: 'refused', reason: result.reason });
    pump();
  } else {
    store({ ...current, state: 'waiting' });
    clearTimeout(timer);
    timer = setTimeout(pump, delay(attempt));
    attempt += 1;
  }
}

/** @param {Letter} letter @returns {Promise<import('./delivery.js').Outcome>} */
async function delivered(letter) {
  let { session } = letter;
  if (!session) {
    // The key makes a repeated creation find the first one's session.
    const body = { folder: letter.folder, tool: letter.tool, externalTriggerId: `web:${letter.id}` };
    const { status, data } = await request('POST', 'api/sessions', body);
    const created = outcome(status, data);
    if (created.kind !== 'accepted') return created;
    session = String(data?.session?.id ?? '');
    if (!session) return { kind: 'later' };
    store({ ...letter, session });
  }
  const body = { requestId: letter.id, text: letter.text, tool: letter.tool || undefined };
  const { status, data } = await request('POST', `api/sessions/${session}/messages`, body);
  return outcome(status, data);
}

/** @param {Letter} letter */
function store(letter) {
  storage.set(`outbox:${letter.id}`, JSON.stringify(letter));
  changed();
}

function changed() {
  document.dispatchEvent(new CustomEvent('rl:outbox'));
}

/** @param {string | null} text @returns {Letter[]} */
function parsed(text) {
  try {
    return text ? [JSON.parse(text)] : [];
  } catch {
    return [];
  }
}
