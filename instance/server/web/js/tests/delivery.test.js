import assert from 'node:assert/strict';
import test from 'node:test';

import { delay } from '../net/backoff.js';
import { body, due, outcome, requestId } from '../net/delivery.js';

/** @param {string} id @param {string} session @param {string} [state] */
const letter = (id, session, state = 'sending') =>
  ({ id, session, text: 't', tool: '', model: '', effort: '', folder: '', files: [], at: 0, state, reason: '' });

test('an answer decides between done, later and never', () => {
  const cases = [
    [202, { duplicate: false }, { kind: 'accepted' }],
    [200, { duplicate: true }, { kind: 'accepted' }],
    [0, null, { kind: 'later' }],
    [401, null, { kind: 'later' }],
    [429, null, { kind: 'later' }],
    [503, null, { kind: 'later' }],
    [302, null, { kind: 'later' }],
    [409, { error: 'Session is archived' }, { kind: 'refused', reason: 'Session is archived' }],
    [413, null, { kind: 'refused', reason: '413' }],
  ];
  for (const [status, data, expected] of cases) {
    assert.deepEqual(outcome(status, data), expected, String(status));
  }
});

test('each session sends in order, and a refused letter holds up no other', () => {
  const letters = [
    letter('a', 's1', 'refused'), letter('b', 's1'), letter('c', 's1'),
    letter('d', 's2', 'waiting'), letter('e', ''), letter('f', ''),
  ];
  const ids = (/** @type {string[]} */ ...underway) => due(letters, new Set(underway)).map(({ id }) => id);
  assert.deepEqual(ids(), ['b', 'd', 'e', 'f']);
  assert.deepEqual(ids('b', 'e'), ['d', 'f']);
});

test('the body of a letter holds what was chosen and nothing else', () => {
  const sent = (/** @type {object} */ more) => JSON.parse(JSON.stringify(body({ ...letter('a', 's'), ...more })));
  const plain = { requestId: 'a', text: 't' };
  assert.deepEqual(sent({}), plain);
  assert.deepEqual(sent({ tool: 'codex', model: 'm', effort: 'high' }), { ...plain, tool: 'codex', model: 'm', effort: 'high' });
  assert.deepEqual(sent({ effort: 'on' }), { ...plain, thinking: true });
  const file = { key: 'k', name: 'a.txt', type: '', size: 1, asset: 'fasset_1', sent: true };
  assert.deepEqual(sent({ files: [file] }), { ...plain, attachments: [{ assetId: 'fasset_1', originalName: 'a.txt' }] });
});

test('waiting doubles to half a minute, with jitter', () => {
  assert.deepEqual([0, 1, 2, 5, 6, 40].map((attempt) => delay(attempt, 0.5)), [500, 1000, 2000, 16000, 30000, 30000]);
  assert.deepEqual([delay(1, 0), delay(1, 1)], [700, 1300]);
});

test('request ids have the documented form', () => {
  assert.equal(requestId(1795332399206, new Uint8Array([1, 2, 3, 4, 5, 255])), 'web_mwrik12e_0102030405ff');
});
