// Edits of one kind, one after the other in the order in which they were asked for: an undo that is pressed
// while an edit is being saved takes that one back, not the one before it.

/** @type {Promise<unknown>} */
let last = Promise.resolve();

/**
 * Do something once all that was asked for before is done.
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export function inTurn(work) {
    const done = last.then(work, work);
    last = done.catch(() => {});
    return done;
}
