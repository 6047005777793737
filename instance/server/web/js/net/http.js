// @ts-check
/** Requests to the JSON routes. */

/**
 * @typedef {object} Answer
 * @property {number} status 0 when the server was not reached
 * @property {any} data
 */

const LONGEST_WAIT = 20_000;

/**
 * @param {'GET' | 'POST' | 'PATCH'} method @param {string} path relative to the base
 * @param {unknown} [body] @returns {Promise<Answer>}
 */
export async function request(method, path, body) {
  try {
    const response = await fetch(new URL(path, document.baseURI), {
      method,
      headers: { 'Content-Type': 'application/json', 'X-RemoteLab-Client': 'web' },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(LONGEST_WAIT),
      redirect: 'manual',
    });
    if (response.status === 401) document.dispatchEvent(new CustomEvent('rl:signed-out'));
    return { status: response.status, data: await response.json().catch(() => null) };
  } catch {
    return { status: 0, data: null };
  }
}
