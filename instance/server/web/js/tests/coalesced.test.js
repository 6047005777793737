import assert from 'node:assert/strict';
import test from 'node:test';

import { coalesced } from '../state/coalesced.js';

test('what is asked for while it runs is done once more', async () => {
  let times = 0;
  const run = coalesced(async () => { times += 1; }, 0);
  const first = run();
  const [second, third] = [run(), run()];
  await Promise.all([first, second, third]);
  assert.equal(times, 2);
});

test('a task that fails is done again', async (context) => {
  const logged = context.mock.method(console, 'error', () => {});
  let times = 0;
  const run = coalesced(async () => {
    times += 1;
    if (times === 1) throw new Error('once');
  }, 0);
  const first = run();
  const second = run();
  await Promise.all([first, second]);
  await Promise.all([run(), run()]);
  assert.equal(times, 4);
  assert.equal(logged.mock.callCount(), 1);
});
