// @ts-check
/** What can be done to a session as a whole. */
import { request } from '../net/http.js';
import { fill, words } from '../state/page.js';
import { toast } from './toast.js';

/** @param {HTMLElement} session @param {string} what */
export function act(session, what) {
  const id = session.dataset.session ?? '';
  switch (what) {
    case 'rename': return rename(session, id);
    case 'pin': return change(id, { pinned: true });
    case 'unpin': return change(id, { pinned: false });
    case 'archive': return archive(id);
    case 'restore': return change(id, { archived: false });
    case 'stop': return stop(id);
    case 'compact': return post(id, 'compact');
    case 'fork': return fork(id);
    default: return undefined;
  }
}

/** Asks the run to end. @param {string} id */
export const stop = (id) => post(id, 'cancel');

/** @param {string} id */
async function fork(id) {
  const data = await post(id, 'fork');
  if (!data) return;
  document.dispatchEvent(new CustomEvent('rl:go', { detail: `s/${data.session.id}` }));
  toast(words.client.forked ?? '');
}

/** @param {string} id */
async function archive(id) {
  if (!await change(id, { archived: true })) return;
  const undo = () => change(id, { archived: false });
  toast(words.client.archived ?? '', { label: words.client.undo ?? '', run: undo });
}

/** Edits the title in place: Enter or leaving saves, Escape restores. @param {HTMLElement} session @param {string} id */
function rename(session, id) {
  const title = session.querySelector('.bar h1');
  if (!title) return;
  const field = document.createElement('input');
  field.className = 'rename';
  field.value = session.dataset.name ?? '';
  field.setAttribute('aria-label', words.client.rename_prompt ?? '');
  const was = title.textContent;
  title.replaceChildren(field);
  field.select();
  field.focus();
  let over = false;
  const finish = async (/** @type {boolean} */ save) => {
    if (over) return;
    over = true;
    const name = field.value.trim();
    title.textContent = save && name ? name : was;
    if (save && name && name !== was && !await change(id, { name })) title.textContent = was;
  };
  field.addEventListener('blur', () => finish(true));
  field.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.isComposing && event.keyCode !== 229) finish(true);
    if (event.key === 'Escape') finish(false);
  });
}

/** @param {string} id @param {Record<string, unknown>} fields */
async function change(id, fields) {
  return done(id, await request('PATCH', `api/sessions/${id}`, fields)) !== null;
}

/** @param {string} id @param {string} what */
async function post(id, what) {
  return done(id, await request('POST', `api/sessions/${id}/${what}`, {}));
}

/** Shows what came of it. @param {string} id @param {import('../net/http.js').Answer} answer */
function done(id, { status, data }) {
  if (status >= 200 && status < 300) {
    // The socket tells it too, but may be down.
    document.dispatchEvent(new CustomEvent('rl:hint', { detail: id }));
    return data ?? {};
  }
  toast(fill(words.client.not_done ?? '', { reason: data?.error ?? words.client.no_server ?? '' }));
  return null;
}
