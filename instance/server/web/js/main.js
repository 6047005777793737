// @ts-check
/** Starts the parts and moves between sessions without loading the page again. */
import { read } from './net/fragment.js';
import * as outbox from './net/outbox.js';
import * as socket from './net/socket.js';
import * as archive from './parts/archive.js';
import './parts/composer.js';
import * as connection from './parts/connection.js';
import * as drawer from './parts/drawer.js';
import * as drop from './parts/drop.js';
import * as list from './parts/list.js';
import './parts/outbox.js';
import './parts/session.js';
import * as time from './parts/time.js';
import { toast } from './parts/toast.js';
import * as files from './state/files.js';
import { words } from './state/page.js';

document.documentElement.dataset.js = '';
connection.start();
time.start();
drawer.start();
list.start();
archive.start();
files.start();
drop.start((dropped) => /** @type {any} */ (document.querySelector('rl-composer'))?.attach(dropped));
outbox.start();
socket.start();

/** Letters for new sessions that were written on this page. @type {Set<string>} */
const started = new Set();

document.addEventListener('click', (event) => {
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  const link = /** @type {Element} */ (event.target).closest('a.row, a.new');
  if (!(link instanceof HTMLAnchorElement)) return;
  event.preventDefault();
  go(link.href);
});

const MENUS = ['menu', 'folder', 'choice'].map((name) => `details.${name}[open]`).join();

// A menu closes when something else is pressed, or Escape.
document.addEventListener('pointerdown', (event) => {
  for (const menu of document.querySelectorAll(MENUS)) {
    if (!menu.contains(/** @type {Node} */ (event.target))) menu.removeAttribute('open');
  }
});
document.addEventListener('keydown', (event) => {
  const menu = event.key === 'Escape' ? document.querySelector(MENUS) : null;
  if (!menu) return;
  event.stopPropagation();
  menu.removeAttribute('open');
  menu.querySelector('summary')?.focus();
}, { capture: true });

document.addEventListener('rl:go', (event) => {
  go(new URL(/** @type {CustomEvent<string>} */ (event).detail, document.baseURI).href);
});

document.addEventListener('rl:sent', (event) => {
  const letter = /** @type {CustomEvent} */ (event).detail;
  if (!letter.session) started.add(letter.id);
});

document.addEventListener('rl:accepted', (event) => {
  const letter = /** @type {CustomEvent} */ (event).detail;
  const atHome = document.querySelector('rl-session.home');
  if (started.delete(letter.id) && atHome) go(new URL(`s/${letter.session}`, document.baseURI).href);
});

addEventListener('popstate', () => {
  if (shownPath() !== location.pathname) show(location.href);
});

/** @param {string} href */
async function go(href) {
  history.replaceState({ ...history.state, scroll: document.querySelector('.scroll')?.scrollTop }, '');
  if (!await show(href)) return;
  // The drawer's own entry in the history becomes the session's.
  if (drawer.isOpen()) history.replaceState(null, '', href);
  else if (href !== location.href) history.pushState(null, '', href);
  drawer.draw();
  list.mark();
}

/** @param {string} href */
async function show(href) {
  const path = new URL(href).pathname.slice(new URL(document.baseURI).pathname.length);
  const session = path.match(/^s\/([0-9a-f]{32})$/)?.[1];
  if (path && !session) {
    location.href = href;
    return false;
  }
  const result = await read(session ? `ui/sessions/${session}` : 'ui/new');
  if (result.kind !== 'new') {
    // Gone: the server's own page says it best.
    if (result.kind === 'gone') location.href = href;
    else toast(words.client.not_loaded ?? '');
    return false;
  }
  const main = document.getElementById('main');
  main?.replaceChildren(result.nodes);
  const scroll = history.state?.scroll;
  const pane = main?.querySelector('.scroll');
  if (pane && typeof scroll === 'number' && location.href === href) pane.scrollTop = scroll;
  list.mark();
  return true;
}

function shownPath() {
  const session = /** @type {HTMLElement | null} */ (document.querySelector('rl-session'))?.dataset.session;
  return new URL(session ? `s/${session}` : './', document.baseURI).pathname;
}
