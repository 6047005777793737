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
    default: return undefined;
  }
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
  const { status, data } = await request('PATCH', `api/sessions/${id}`, fields);
  if (status >= 200 && status < 300) {
    // The socket tells it too, but may be down.
    document.dispatchEvent(new CustomEvent('rl:hint', { detail: id }));
    return true;
  }
  toast(fill(words.client.not_done ?? '', { reason: data?.error ?? words.client.no_server ?? '' }));
  return false;
}
