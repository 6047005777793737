// @ts-check
/**
 * Hints that something changed. They carry no state: whoever hears one reads again.
 *
 * Dispatches `rl:hint` with the session's id, or null for everything, `rl:writing` with the id of a session
 * whose answer has grown, and `rl:link` with `open` or `lost`.
 */
import { delay } from './backoff.js';

const POLL = 10_000;

/** @type {WebSocket | null} */
let socket = null;
let attempt = 0;
/** @type {number | undefined} */
let timer;

export function start() {
  connect();
  setInterval(() => {
    if (socket?.readyState !== WebSocket.OPEN && !document.hidden) hint(null);
  }, POLL);
  addEventListener('online', now);
  addEventListener('pageshow', (event) => { if (event.persisted) now(); });
  document.addEventListener('visibilitychange', () => { if (!document.hidden) now(); });
}

/** Proves freshness at once, and connects again if the socket is gone. */
function now() {
  hint(null);
  if (socket?.readyState === WebSocket.OPEN || socket?.readyState === WebSocket.CONNECTING) return;
  attempt = 0;
  connect();
}

function connect() {
  clearTimeout(timer);
  const url = new URL('ws', document.baseURI);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  const current = new WebSocket(url);
  socket = current;
  current.onopen = () => {
    attempt = 0;
    link('open');
  };
  current.onmessage = (event) => receive(String(event.data));
  current.onclose = () => {
    if (socket !== current) return;
    link('lost');
    timer = setTimeout(connect, delay(attempt));
    attempt += 1;
  };
}

/** @param {string} text */
function receive(text) {
  /** @type {{ type?: string, sessionId?: string }} */
  let frame = {};
  try {
    frame = JSON.parse(text);
  } catch {
    return;
  }
  // Changes are told from here on, first of all and after too many at once: what came before was not.
  if (frame.type === 'build_info') hint(null);
  if (frame.type === 'session_invalidated') hint(frame.sessionId ?? null);
  if (frame.type === 'sessions_invalidated') hint('');
  if (frame.type === 'session_writing') document.dispatchEvent(new CustomEvent('rl:writing', { detail: frame.sessionId }));
}

/** @param {string | null} session empty for the list alone */
function hint(session) {
  document.dispatchEvent(new CustomEvent('rl:hint', { detail: session }));
}

/** @param {'open' | 'lost'} state */
function link(state) {
  document.dispatchEvent(new CustomEvent('rl:link', { detail: state }));
}
