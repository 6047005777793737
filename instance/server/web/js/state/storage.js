// @ts-check
/**
 * What this browser remembers. Instances below one host share its storage, so every key carries the base.
 */

const prefix = `rl:${document.documentElement.dataset.base ?? '/'}:`;

/** Stands in when the browser refuses to store. @type {Map<string, string>} */
const memory = new Map();

/** @param {string} key @returns {string | null} */
export function get(key) {
  const kept = memory.get(prefix + key);
  if (kept !== undefined) return kept;
  try {
    return localStorage.getItem(prefix + key);
  } catch {
    return null;
  }
}

/** @param {string} key @param {string} value */
export function set(key, value) {
  try {
    localStorage.setItem(prefix + key, value);
    memory.delete(prefix + key);
  } catch {
    memory.set(prefix + key, value);
  }
}

/** @param {string} key */
export function remove(key) {
  memory.delete(prefix + key);
  try {
    localStorage.removeItem(prefix + key);
  } catch {
    // Nothing was stored then.
  }
}

/** Lists the keys that begin so, without the base. @param {string} start @returns {string[]} */
export function keys(start) {
  const all = [...memory.keys()];
  try {
    for (let i = 0; i < localStorage.length; i += 1) all.push(localStorage.key(i) ?? '');
  } catch {
    // As above.
  }
  const found = all.filter((key) => key.startsWith(prefix + start));
  return [...new Set(found)].map((key) => key.slice(prefix.length));
}

/** Calls back when another tab changes a key that begins so. @param {string} start @param {() => void} then */
export function watch(start, then) {
  addEventListener('storage', (event) => {
    if (event.key?.startsWith(prefix + start)) then();
  });
}
