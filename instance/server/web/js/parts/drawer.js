// @ts-check
/** The list as a drawer on the phone and as a column that can be put away elsewhere. */
import { isNarrow } from '../state/page.js';
import * as storage from '../state/storage.js';

const root = document.documentElement;

export function start() {
  if (storage.get('list') === 'hidden') root.dataset.list = 'hidden';
  document.addEventListener('click', onClick);
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && isOpen()) close();
  });
  addEventListener('hashchange', draw);
  addEventListener('popstate', draw);
  draw();
}

export const isOpen = () => location.hash === '#tasks' && isNarrow();

/** Follows the address, so that Back closes the drawer. */
export function draw() {
  const was = root.dataset.drawer;
  root.dataset.drawer = isOpen() ? 'open' : 'closed';
  document.getElementById('main')?.toggleAttribute('inert', isOpen());
  if (!was || was === root.dataset.drawer) return;
  const target = /** @type {HTMLElement | null} */ (document.querySelector(isOpen() ? '.from-list' : '.to-list'));
  // What is still hidden takes no focus.
  setTimeout(() => target?.focus({ preventScroll: true }), 60);
}

/** @param {MouseEvent} event */
function onClick(event) {
  const link = /** @type {Element} */ (event.target).closest('.to-list, .from-list, .scrim');
  if (!link) return;
  event.preventDefault();
  if (!isNarrow()) {
    const hide = link.matches('.from-list');
    root.dataset.list = hide ? 'hidden' : 'shown';
    storage.set('list', root.dataset.list);
  } else if (link.matches('.to-list')) {
    history.pushState({ drawer: true }, '', `${location.pathname}${location.search}#tasks`);
    draw();
  } else {
    close();
  }
}

function close() {
  if (history.state?.drawer) {
    history.back();
    return;
  }
  history.replaceState(null, '', `${location.pathname}${location.search}`);
  draw();
}
