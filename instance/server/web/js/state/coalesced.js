// @ts-check
/** Doing again what may be asked for at any time. */

/**
 * Runs a task again when asked while it runs, never twice at once, with at least `gap` ms between. A task that
 * fails is logged and does not keep the next from running.
 * @param {() => Promise<void>} task @param {number} gap @returns {() => Promise<void>}
 */
export function coalesced(task, gap = 400) {
  /** @type {Promise<void> | null} */
  let running = null;
  /** @type {Promise<void> | null} */
  let next = null;
  const start = () => {
    running = task()
      .catch((error) => console.error(error))
      .then(() => new Promise((done) => { setTimeout(done, gap); }))
      .then(() => { running = null; });
    return running;
  };
  return () => {
    if (!running) return start();
    next ??= running.then(() => { next = null; return start(); });
    return next;
  };
}
