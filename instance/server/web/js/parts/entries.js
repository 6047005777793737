// @ts-check
/** Bringing drawn entries up to date without touching those that did not change. */

/** @param {Element} entry */
const key = (entry) => /** @type {HTMLElement} */ (entry).dataset.key;
/** @param {Element} entry */
const rev = (entry) => /** @type {HTMLElement} */ (entry).dataset.rev;

/** Kinds that a reader wants to be told of. */
const TOLD = ['assistant', 'failed', 'delivery', 'user'];

/**
 * Makes `box` show the entries of `fresh`, the newest page. Earlier pages that were loaded stay.
 * @param {Element} box @param {Element} fresh @returns {{ added: Element[], told: number }}
 */
export function reconcile(box, fresh) {
  const old = new Map([...box.children].filter(key).map((entry) => [key(entry), entry]));
  const next = [...fresh.children];
  const joint = next.findIndex((entry) => key(entry) && old.has(key(entry)));
  if (joint < 0) {
    box.replaceChildren(...next);
    return { added: next, told: 0 };
  }
  /** @type {Element[]} */
  const added = [];
  const sequence = next.slice(joint).map((entry) => {
    const known = old.get(key(entry));
    if (known && rev(known) === rev(entry)) return known;
    if (!known) added.push(entry);
    return entry;
  });
  const wanted = new Set(sequence);
  const start = old.get(key(/** @type {Element} */ (next[joint])));
  /** @type {Element | null} */
  let cursor = start ?? null;
  for (const entry of sequence) {
    while (cursor && !wanted.has(cursor)) cursor = removed(cursor);
    if (entry === cursor) cursor = cursor.nextElementSibling;
    else box.insertBefore(entry, cursor);
  }
  while (cursor) cursor = removed(cursor);
  const told = added.filter((entry) => TOLD.some((kind) => entry.classList.contains(kind))).length;
  return { added, told };
}

/** Each page begins with its day; where pages meet, once is enough. @param {Element} box */
export function mergeDays(box) {
  let last = '';
  for (const day of box.querySelectorAll('.entry.day')) {
    if (day.textContent === last) day.remove();
    last = day.textContent ?? '';
  }
}

/** @param {Element} entry @returns {Element | null} the next one */
function removed(entry) {
  const next = entry.nextElementSibling;
  entry.remove();
  return next;
}
