// Captions as lists of tags: pure functions.

/** @param {string} text @returns {string[]} */
export function tagsOf(text) {
    return text.split(",").map((tag) => tag.trim()).filter(Boolean);
}

/** @param {string[]} tags */
export function captionOf(tags) {
    return tags.join(", ");
}

/** @param {string[]} tags @param {string} tag @param {number} to the place it goes to */
export function reordered(tags, tag, to) {
    const without = tags.filter((each) => each !== tag);
    const place = Math.min(Math.max(0, to), without.length);
    return [...without.slice(0, place), tag, ...without.slice(place)];
}

/**
 * What a change would make of each caption; those that stay are left out.
 * @param {Record<string, {text: string}>} captions
 * @param {{add: string[], remove: string[], replace: [string, string][]}} edit
 * @returns {{name: string, before: string, after: string}[]}
 */
export function preview(captions, edit) {
    const found = [];
    for (const [name, { text }] of Object.entries(captions)) {
        const before = tagsOf(text);
        const replaced = before.map((tag) => edit.replace.find(([old]) => old === tag)?.[1] ?? tag);
        const kept = replaced.filter((tag) => !edit.remove.includes(tag));
        const after = [...kept, ...edit.add.filter((tag) => !kept.includes(tag))];
        const unique = after.filter((tag, at) => after.indexOf(tag) === at);
        if (captionOf(unique) !== captionOf(before)) found.push({ name, before: captionOf(before), after: captionOf(unique) });
    }
    return found;
}

/**
 * Suggestions for what is being typed, the most frequent first.
 * @param {string} typed @param {string[]} known @param {Record<string, number>} frequent @param {string[]} without
 */
export function suggestions(typed, known, frequent, without, most = 8) {
    const word = typed.trim().toLowerCase().replaceAll("_", " ");
    if (!word) return [];
    const rank = (/** @type {string} */ tag) => (tag.startsWith(word) ? 0 : 1);
    return [...new Set([...Object.keys(frequent), ...known])]
        .filter((tag) => tag.includes(word) && !without.includes(tag))
        .sort((a, b) => rank(a) - rank(b) || (frequent[b] ?? 0) - (frequent[a] ?? 0) || a.length - b.length)
        .slice(0, most);
}
