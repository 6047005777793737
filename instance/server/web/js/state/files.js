// @ts-check
/**
 * The bytes of files that are not sent yet. A list in the storage names them first, so whatever no list names
 * is left over and goes at the next start.
 */
import * as storage from './storage.js';

/**
 * A file of a message.
 * @typedef {object} LocalFile
 * @property {string} key under which its bytes are kept here
 * @property {string} name
 * @property {string} type
 * @property {number} size
 * @property {string} [asset] its id on the server, from the first attempt to send it
 * @property {boolean} [sent] whether the server has all of it
 */

const NAME = `rl:${document.documentElement.dataset.base ?? '/'}:files`;
const STORE = 'files';

/** Of this page; all there is when the browser refuses to store. @type {Map<string, Blob>} */
const memory = new Map();

/** @type {Promise<IDBDatabase> | null} */
let opening = null;

/** Forgets what no draft and no message on its way names. */
export async function start() {
  const named = [...storage.keys('files:'), ...storage.keys('outbox:')].map((key) => storage.get(key) ?? '').join();
  const keys = await asked('readonly', (store) => store.getAllKeys()) ?? [];
  const left = keys.map(String).filter((key) => !named.includes(key));
  if (left.length) forget(left);
}

/** Keeps the bytes of a file that a list already names. @param {string} key @param {Blob} bytes */
export function keep(key, bytes) {
  memory.set(key, bytes);
  asked('readwrite', (store) => store.put(bytes, key));
}

/** @param {string} key @returns {Promise<Blob | undefined>} */
export async function find(key) {
  return memory.get(key) ?? await asked('readonly', (store) => store.get(key));
}

/** @param {string[]} keys */
export function forget(keys) {
  for (const key of keys) {
    memory.delete(key);
    asked('readwrite', (store) => store.delete(key));
  }
}

/**
 * Asks the database; nothing comes back from one that refuses.
 * @template T @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => IDBRequest<T>} ask
 * @returns {Promise<T | undefined>}
 */
async function asked(mode, ask) {
  try {
    opening ??= answer(opened());
    const database = await opening;
    return await answer(ask(database.transaction(STORE, mode).objectStore(STORE)));
  } catch {
    return undefined;
  }
}

function opened() {
  const request = indexedDB.open(NAME, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE);
  return request;
}

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
function answer(request) {
  return new Promise((done, failed) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });
}
