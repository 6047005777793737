// @ts-check
/** How long to wait before trying again. */

const FIRST = 500;
const LONGEST = 30_000;

/**
 * Doubles from half a second to half a minute, with 30 % jitter so that pages do not return together.
 * @param {number} attempt from 0 @param {number} [random] 0 to 1 @returns {number} milliseconds
 */
export function delay(attempt, random = Math.random()) {
  const base = Math.min(LONGEST, FIRST * 2 ** Math.min(attempt, 10));
  return Math.round(base * (0.7 + 0.6 * random));
}
