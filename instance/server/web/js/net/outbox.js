// @ts-check
/**
 * Messages on their way: stored before they are posted, posted under one id until accepted or refused.
 *
 * Dispatches `rl:outbox` when the letters change, `rl:accepted` with the letter that arrived, and `rl:progress`
 * with the id of one whose files move.
 */
import * as files from '../state/files.js';
import { fill, words } from '../state/page.js';
import * as storage from '../state/storage.js';
import { delay } from './backoff.js';
import { body, due, outcome, requestId } from './delivery.js';
import { request } from './http.js';
import { upload } from './upload.js';

/** @typedef {import('./delivery.js').Letter} Letter */

/** Those that are being posted, and what stops it. @type {Map<string, AbortController>} */
const underway = new Map();
/** How many bytes of a letter's files are on their way. @type {Map<string, number>} */
const moved = new Map();
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
 * @param {Partial<Letter> & { session: string, text: string }} message
 * @returns {Letter}
 */
export function add(message) {
  const id = message.id ?? requestId(Date.now(), crypto.getRandomValues(new Uint8Array(6)));
  /** @type {Letter} */
  const letter = {
    tool: '', model: '', effort: '', folder: '', files: [], ...message, id, at: Date.now(), state: 'sending', reason: '',
  };
  store(letter);
  pump();
  return letter;
}

/** Posts a refused one again. @param {Letter} letter */
export function retry(letter) {
  store({ ...letter, state: 'sending', reason: '' });
  retryNow();
}

/** Takes one back, but not its files' bytes. @param {Letter} letter */
export function withdraw(letter) {
  storage.remove(`outbox:${letter.id}`);
  underway.get(letter.id)?.abort();
  changed();
}

/** @param {Letter} letter */
export function discard(letter) {
  withdraw(letter);
  files.forget(letter.files.map(({ key }) => key));
}

/** How much of a letter's files is on its way, 0 to 1; nothing when no file is. @param {Letter} letter */
export function progress(letter) {
  const total = letter.files.reduce((sum, { size }) => sum + size, 0);
  const now = moved.get(letter.id);
  return now === undefined ? undefined : Math.min(1, now / Math.max(1, total));
}

function retryNow() {
  attempt = 0;
  pump();
}

function pump() {
  clearTimeout(timer);
  for (const letter of due(letters(), new Set(underway.keys()))) post(letter);
}

/** @param {Letter} letter */
async function post(letter) {
  const controller = new AbortController();
  underway.set(letter.id, controller);
  const result = await delivered(letter, controller.signal);
  underway.delete(letter.id);
  moved.delete(letter.id);
  const current = parsed(storage.get(`outbox:${letter.id}`))[0];
  // Discarded, or delivered by another tab.
  if (!current) return;
  if (result.kind === 'accepted') {
    attempt = 0;
    storage.remove(`outbox:${letter.id}`);
    files.forget(letter.files.map(({ key }) => key));
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

/** @param {Letter} letter @param {AbortSignal} signal @returns {Promise<import('./delivery.js').Outcome>} */
async function delivered(letter, signal) {
  let { session } = letter;
  if (!session) {
    // The key makes a repeated creation find the first one's session.
    const body = { folder: letter.folder, tool: letter.tool, externalTriggerId: `web:${letter.id}` };
    const { status, data } = await request('POST', 'api/sessions', body);
    const created = outcome(status, data);
    if (created.kind !== 'accepted') return created;
    session = String(data?.session?.id ?? '');
    if (!session) return { kind: 'later' };
    letter = { ...letter, session };
    store(letter);
  }
  for (let i = 0; i < letter.files.length; i += 1) {
    const sent = await uploaded(letter, i, signal);
    letter = parsed(storage.get(`outbox:${letter.id}`))[0] ?? letter;
    if (sent.kind !== 'accepted' || signal.aborted) return sent;
  }
  const { status, data } = await request('POST', `api/sessions/${session}/messages`, body(letter));
  return outcome(status, data);
}

/**
 * Sends one file of a letter that is not on the server yet.
 * @param {Letter} letter @param {number} index @param {AbortSignal} signal
 * @returns {Promise<import('./delivery.js').Outcome>}
 */
async function uploaded(letter, index, signal) {
  const file = letter.files[index];
  if (!file || file.sent) return { kind: 'accepted' };
  const bytes = await files.find(file.key);
  if (!bytes) return { kind: 'refused', reason: fill(words.client.file_lost ?? '', { name: file.name }) };
  const before = letter.files.slice(0, index).reduce((sum, { size }) => sum + size, 0);
  const move = (/** @type {number} */ now) => {
    moved.set(letter.id, before + now);
    document.dispatchEvent(new CustomEvent('rl:progress', { detail: letter.id }));
  };
  move(0);
  return upload(letter.session, file, bytes, {
    note: (known) => {
      // Not of one that was taken back meanwhile.
      if (!signal.aborted) store({ ...letter, files: letter.files.map((one, i) => (i === index ? known : one)) });
    },
    moved: move,
    signal,
  });
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
    // Letters of an earlier page may lack what came later.
    return text ? [{ files: [], model: '', effort: '', ...JSON.parse(text) }] : [];
  } catch {
    return [];
  }
}
