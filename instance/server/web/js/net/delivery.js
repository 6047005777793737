// @ts-check
/** The rules of the outbox, apart from storage and network. */

/**
 * A message on its way to the server.
 * @typedef {object} Letter
 * @property {string} id the request id: the server runs a message once, however often it is posted
 * @property {string} session empty until its session exists
 * @property {string} text
 * @property {string} tool
 * @property {string} model empty for the executor's own choice
 * @property {string} effort a level, `on` where it is a switch, or empty
 * @property {string} folder only for a new session
 * @property {import('../state/files.js').LocalFile[]} files
 * @property {number} at Unix ms, for the order
 * @property {'sending' | 'waiting' | 'refused'} state
 * @property {string} reason why it was refused
 */

/** @typedef {{ kind: 'accepted' } | { kind: 'later' } | { kind: 'refused', reason: string }} Outcome */

/**
 * What an answer means for a letter. Anything that may pass is tried again under the same id.
 * @param {number} status 0 when the server was not reached @param {any} data @returns {Outcome}
 */
export function outcome(status, data) {
  if (status >= 200 && status < 300) return { kind: 'accepted' };
  const passing = status === 0 || status >= 500 || [401, 408, 425, 429].includes(status);
  if (passing || status < 400) return { kind: 'later' };
  return { kind: 'refused', reason: String(data?.error ?? status) };
}

/**
 * Which letters to post now: of each session the oldest that was not refused.
 * @param {Letter[]} letters @param {Set<string>} underway ids @returns {Letter[]}
 */
export function due(letters, underway) {
  /** @type {Set<string>} */
  const seen = new Set();
  return letters.filter((letter) => {
    if (letter.state === 'refused') return false;
    const lane = letter.session || letter.id;
    if (seen.has(lane)) return false;
    seen.add(lane);
    return !underway.has(letter.id);
  });
}

/** The body of a letter whose files are on the server. @param {Letter} letter */
export function body(letter) {
  const { effort } = letter;
  return {
    requestId: letter.id,
    text: letter.text,
    tool: letter.tool || undefined,
    model: letter.model || undefined,
    effort: effort && effort !== 'on' ? effort : undefined,
    thinking: effort === 'on' || undefined,
    attachments: letter.files.length
      ? letter.files.map(({ asset, name }) => ({ assetId: asset, originalName: name })) : undefined,
  };
}

/** Mints a request id. @param {number} now @param {Uint8Array} random @returns {string} */
export function requestId(now, random) {
  const hex = [...random].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return `web_${now.toString(36)}_${hex}`;
}
