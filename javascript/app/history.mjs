// Undo and redo of things that have an inverse.

/** @template T */
export class History {
    constructor() {
        this.past = /** @type {T[]} */ ([]);
        this.future = /** @type {T[]} */ ([]);
    }

    /** @param {T} done */
    add(done) {
        this.past.push(done);
        if (this.past.length > 100) this.past.shift();
        this.future = [];
    }

    /** Forget one that did not happen. @param {T} failed */
    drop(failed) {
        this.past = this.past.filter((each) => each !== failed);
    }

    /** The last thing, to take back. @returns {T | undefined} */
    undo() {
        const last = this.past.pop();
        if (last !== undefined) this.future.push(last);
        return last;
    }

    /** @returns {T | undefined} */
    redo() {
        const next = this.future.pop();
        if (next !== undefined) this.past.push(next);
        return next;
    }
}
