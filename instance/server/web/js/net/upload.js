// @ts-check
/** Sending a file: announced, its bytes put where the server says, and called complete. */
import { outcome } from './delivery.js';
import { request } from './http.js';

/** @typedef {import('../state/files.js').LocalFile} LocalFile */
/** @typedef {import('./delivery.js').Outcome} Outcome */

/** An upload that does not move for so long is begun again. */
const STALLED = 60_000;

/**
 * Sends a file. `note` keeps what is known of it, `moved` hears how many bytes are on their way.
 * @param {string} session @param {LocalFile} file @param {Blob} bytes
 * @param {{ note: (file: LocalFile) => void, moved: (bytes: number) => void, signal: AbortSignal }} to
 * @returns {Promise<Outcome>}
 */
export async function upload(session, file, bytes, to) {
  let { asset } = file;
  // A second attempt goes to this server, which always takes it: what it named at first may be out of reach.
  let target = { url: `api/assets/${asset}/content`, headers: {} };
  if (!asset) {
    const wanted = { sessionId: session, originalName: file.name, mimeType: file.type, sizeBytes: file.size };
    const { status, data } = await request('POST', 'api/assets/upload-intents', wanted);
    const begun = outcome(status, data);
    if (begun.kind !== 'accepted') return begun;
    asset = String(data.asset.id);
    target = data.upload;
    to.note({ ...file, asset });
  }
  const url = new URL(target.url, document.baseURI);
  const put = await send(url, target.headers, bytes, to);
  const isOurs = url.origin === location.origin;
  // 409: it is complete already, or still coming in from an attempt that was given up.
  if (put.status !== 409 && (put.status < 200 || put.status >= 300)) {
    return isOurs ? outcome(put.status, put.data) : { kind: 'later' };
  }
  const { status, data } = await request('POST', `api/assets/${asset}/finalize`, { sizeBytes: file.size });
  if (status === 409) return { kind: 'later' };
  const done = outcome(status, data);
  if (done.kind === 'accepted') to.note({ ...file, asset, sent: true });
  return done;
}

/**
 * Puts the bytes; `fetch` would not tell how far it is.
 * @param {URL} url @param {Record<string, string>} headers @param {Blob} bytes
 * @param {{ moved: (bytes: number) => void, signal: AbortSignal }} to
 * @returns {Promise<import('./http.js').Answer>}
 */
function send(url, headers, bytes, { moved, signal }) {
  return new Promise((done) => {
    const put = new XMLHttpRequest();
    const stop = () => put.abort();
    let timer = setTimeout(stop, STALLED);
    put.open('PUT', url);
    for (const [name, value] of Object.entries(headers)) put.setRequestHeader(name, value);
    if (url.origin === location.origin) put.setRequestHeader('X-RemoteLab-Client', 'web');
    put.upload.onprogress = (event) => {
      clearTimeout(timer);
      timer = setTimeout(stop, STALLED);
      moved(event.loaded);
    };
    put.onloadend = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
      if (put.status === 401) document.dispatchEvent(new CustomEvent('rl:signed-out'));
      done({ status: put.status, data: parsed(put.responseText) });
    };
    signal.addEventListener('abort', stop);
    put.send(bytes);
  });
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
