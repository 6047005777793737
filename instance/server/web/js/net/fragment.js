// @ts-check
/**
 * The one place where text becomes markup: fragments that this origin's own `ui/` routes answered.
 */

/**
 * @typedef {{ kind: 'new', etag: string, nodes: DocumentFragment }
 *   | { kind: 'same' } | { kind: 'gone' } | { kind: 'failed' }} Read
 */

const LONGEST_WAIT = 8000;

/** @type {{ createHTML(text: string): string }} */
const policy = /** @type {any} */ (globalThis).trustedTypes?.createPolicy('rl-fragment', {
  createHTML: (/** @type {string} */ text) => text,
}) ?? { createHTML: (/** @type {string} */ text) => text };

/**
 * Reads a fragment. @param {string} path below `ui/` @param {string} [etag] of what is shown
 * @returns {Promise<Read>}
 */
export async function read(path, etag) {
  const url = new URL(path, document.baseURI);
  const home = new URL('ui/', document.baseURI);
  if (!url.href.startsWith(home.href)) return { kind: 'failed' };
  try {
    const response = await fetch(url, {
      headers: etag ? { 'If-None-Match': etag } : {},
      cache: 'no-store',
      redirect: 'manual',
      signal: AbortSignal.timeout(LONGEST_WAIT),
    });
    if (response.status === 304) return known({ kind: 'same' });
    if (response.status === 404) return known({ kind: 'gone' });
    if (response.status === 401 || response.type === 'opaqueredirect') {
      document.dispatchEvent(new CustomEvent('rl:signed-out'));
      return { kind: 'failed' };
    }
    const isHtml = response.headers.get('Content-Type')?.startsWith('text/html');
    if (!response.ok || !isHtml) return unknown();
    const template = document.createElement('template');
    template.innerHTML = policy.createHTML(await response.text());
    return known({ kind: 'new', etag: response.headers.get('ETag') ?? '', nodes: template.content });
  } catch {
    return unknown();
  }
}

/** @template {Read} R @param {R} result @returns {R} */
function known(result) {
  document.dispatchEvent(new CustomEvent('rl:read', { detail: true }));
  return result;
}

/** @returns {Read} */
function unknown() {
  document.dispatchEvent(new CustomEvent('rl:read', { detail: false }));
  return { kind: 'failed' };
}
