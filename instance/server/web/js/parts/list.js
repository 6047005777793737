// @ts-check
/** The list: kept true, and what of it is unread. */
import { read } from '../net/fragment.js';
import { coalesced } from '../state/coalesced.js';
import { instance } from '../state/page.js';
import * as storage from '../state/storage.js';
import { localise } from './time.js';

/** @type {string | undefined} */
let etag;
let shown = '';

const refresh = coalesced(reload, 600);

export function start() {
  // An old history does not light up at the first visit.
  if (!storage.get('read-baseline')) storage.set('read-baseline', String(Date.now()));
  document.addEventListener('rl:hint', refresh);
  document.addEventListener('rl:shown', mark);
  document.addEventListener('visibilitychange', mark);
  storage.watch('read:', mark);
  mark();
}

/** Marks which session is open, what is unread, and tells the title. */
export function mark() {
  const session = /** @type {HTMLElement | null} */ (document.querySelector('rl-session'));
  const open = session?.dataset.session ?? '';
  const baseline = Number(storage.get('read-baseline') ?? 0);
  let unread = 0;
  for (const node of document.querySelectorAll('.list .row')) {
    const row = /** @type {HTMLAnchorElement} */ (node);
    const id = row.dataset.session ?? '';
    const answered = Number(row.dataset.answered);
    if (id === open) row.setAttribute('aria-current', 'page');
    else row.removeAttribute('aria-current');
    if (id === open && !document.hidden && answered) storage.set(`read:${id}`, String(answered));
    const seen = Math.max(baseline, Number(storage.get(`read:${id}`) ?? 0));
    const isNew = row.closest('#list') !== null && answered > seen && row.dataset.state !== 'running' && row.dataset.state !== 'queued';
    row.toggleAttribute('data-unread', isNew);
    row.querySelector('.row-unread')?.toggleAttribute('hidden', !isNew);
    if (isNew) unread += 1;
  }
  for (const badge of document.querySelectorAll('.badge')) {
    badge.textContent = String(unread);
    badge.toggleAttribute('hidden', unread === 0);
  }
  const name = session?.dataset.name || 'RemoteLab';
  document.title = `${unread ? `(${unread}) ` : ''}${name} – ${instance}`;
}

async function reload() {
  const result = await read('ui/sessions', etag);
  const list = document.getElementById('list');
  if (result.kind !== 'new' || !list) return;
  etag = result.etag;
  const box = document.createElement('div');
  box.append(result.nodes);
  if (box.innerHTML === shown) return;
  shown = box.innerHTML;
  localise(box);
  // The row under the finger or the keyboard keeps its place.
  const focused = /** @type {HTMLElement | null} */ (document.activeElement?.closest('.row'))?.dataset.session;
  const top = list.scrollTop;
  list.replaceChildren(...box.childNodes);
  list.scrollTop = top;
  if (focused) /** @type {HTMLElement | null} */ (list.querySelector(`[data-session="${focused}"]`))?.focus();
  mark();
}
