// Undo and redo of things that have an inverse.

/** @template T */
export class History {
    /** @param {() => void} [changed] called after each change: what shows it is drawn anew */
    constructor(changed = () => {}) {
        this.past = /** @type {T[]} */ ([]);
        this.future = /** @type {T[]} */ ([]);
        this.changed = changed;
    }

    /** @param {T} done */
    add(done) {
        this.past.push(done);
        if (this.past.length > 100) this.past.shift();
        this.future = [];
        this.changed();
    }

    /** Forget one that did not happen. @param {T} failed */
    drop(failed) {
        this.past = this.past.filter((each) => each !== failed);
        this.changed();
    }

    /** The last thing, to take back. @returns {T | undefined} */
    undo() {
        const last = this.past.pop();
        if (last !== undefined) this.future.push(last);
        this.changed();
        return last;
    }

    /** @returns {T | undefined} */
    redo() {
        const next = this.future.pop();
        if (next !== undefined) this.past.push(next);
        this.changed();
        return next;
    }
}
