// @ts-check
/** What was put away, read when somebody looks. */
import { read } from '../net/fragment.js';
import { coalesced } from '../state/coalesced.js';
import * as list from './list.js';
import { localise } from './time.js';

/** @type {string | undefined} */
let etag;

const refresh = coalesced(reload, 600);

export function start() {
  const box = document.getElementById('archive');
  box?.addEventListener('toggle', () => { if (isOpen()) refresh(); });
  document.addEventListener('rl:hint', () => { if (isOpen()) refresh(); });
}

function isOpen() {
  return document.getElementById('archive')?.hasAttribute('open') ?? false;
}

async function reload() {
  const result = await read('ui/sessions?view=archived', etag);
  const place = document.querySelector('#archive .archive-rows');
  if (result.kind !== 'new' || !place) return;
  etag = result.etag;
  localise(result.nodes);
  place.replaceChildren(result.nodes);
  list.mark();
}
