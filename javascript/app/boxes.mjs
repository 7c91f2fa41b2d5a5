// Geometry of crops: pure functions on boxes [left, top, right, bottom] in the picture's pixels.

/** @typedef {[number, number, number, number]} Box */
/** @typedef {{width: number, height: number}} Size */

export const SMALLEST = 8; // pixels of a side

/** The eight handles, and what of the box each moves: left, top, right, bottom. */
export const HANDLES = /** @type {const} */ ({
    nw: [1, 1, 0, 0], n: [0, 1, 0, 0], ne: [0, 1, 1, 0], e: [0, 0, 1, 0],
    se: [0, 0, 1, 1], s: [0, 0, 0, 1], sw: [1, 0, 0, 1], w: [1, 0, 0, 0],
});
/** @typedef {keyof typeof HANDLES} Handle */

/** Where a handle lies. @param {Box} box @param {Handle} handle @returns {[number, number]} */
export function handleAt([l, t, r, b], handle) {
    const [left, top, right, bottom] = HANDLES[handle];
    return [left ? l : right ? r : (l + r) / 2, top ? t : bottom ? b : (t + b) / 2];
}

/** The handle within reach of a point, or null. @param {Box} box @param {number} x @param {number} y @param {number} reach */
export function handleNear(box, x, y, reach) {
    let best = /** @type {Handle | null} */ (null);
    let least = reach;
    for (const handle of /** @type {Handle[]} */ (Object.keys(HANDLES))) {
        const [hx, hy] = handleAt(box, handle);
        const far = Math.max(Math.abs(hx - x), Math.abs(hy - y));
        if (far <= least) {
            best = handle;
            least = far;
        }
    }
    return best;
}

/** @param {Box} box @param {number} x @param {number} y */
export function holds([l, t, r, b], x, y) {
    return x >= l && x <= r && y >= t && y <= b;
}

/** @param {Box} box */
export function area([l, t, r, b]) {
    return (r - l) * (b - t);
}

/** The box moved, kept inside the picture. @param {Box} box @param {number} dx @param {number} dy @param {Size} size @returns {Box} */
export function moved([l, t, r, b], dx, dy, size) {
    const x = Math.min(Math.max(dx, -l), size.width - r);
    const y = Math.min(Math.max(dy, -t), size.height - b);
    return rounded([l + x, t + y, r + x, b + y]);
}

/**
 * The box with one handle moved.
 * @param {Box} box @param {Handle} handle @param {number} dx @param {number} dy @param {Size} size
 * @returns {Box}
 */
export function resized(box, handle, dx, dy, size) {
    const [left, top, right, bottom] = HANDLES[handle];
    let [l, t, r, b] = box;
    if (left) l = Math.min(l + dx, r - SMALLEST);
    if (right) r = Math.max(r + dx, l + SMALLEST);
    if (top) t = Math.min(t + dy, b - SMALLEST);
    if (bottom) b = Math.max(b + dy, t + SMALLEST);
    return rounded(inside([l, t, r, b], size));
}

/** @param {Box} box @param {Size} size @returns {Box} */
export function inside([l, t, r, b], size) {
    return [Math.max(0, l), Math.max(0, t), Math.min(size.width, r), Math.min(size.height, b)];
}

/** @param {Box} box @returns {Box} */
export function rounded(box) {
    return /** @type {Box} */ (box.map(Math.round));
}

/** The box between two points, in whatever order. @param {number} ax @param {number} ay @param {number} bx @param {number} by @param {Size} size @returns {Box} */
export function between(ax, ay, bx, by, size) {
    return rounded(inside([Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)], size));
}

/** The bucket whose shape is nearest to the box's. @param {Box} box @param {[number, number][]} buckets */
export function nearestBucket([l, t, r, b], buckets) {
    const shape = Math.log((r - l) / Math.max(1, b - t));
    let best = buckets[0];
    for (const bucket of buckets) {
        const off = (/** @type {[number, number]} */ each) => Math.abs(Math.log(each[0] / each[1]) - shape);
        if (off(bucket) < off(best)) best = bucket;
    }
    return best ?? null;
}

/**
 * The box in the shape of its nearest bucket, as large as fits; what the handle does not move stays.
 * @param {Box} box @param {[number, number][]} buckets @param {Size} size @param {Handle} [handle]
 * @returns {Box}
 */
export function snapped(box, buckets, size, handle = "se") {
    const bucket = nearestBucket(box, buckets);
    if (!bucket) return box;
    const shape = bucket[0] / bucket[1];
    const [left, top, right, bottom] = HANDLES[handle];
    const [l, t, r, b] = box;
    const byWidth = Boolean(left || right) && !(top || bottom);
    const byHeight = Boolean(top || bottom) && !(left || right);
    let width = r - l;
    let height = b - t;
    if (byWidth) height = width / shape;
    else if (byHeight) width = height * shape;
    else if (width / height > shape) height = width / shape;
    else width = height * shape;
    const roomX = left ? r : right ? size.width - l : size.width;
    const roomY = top ? b : bottom ? size.height - t : size.height;
    const shrink = Math.min(1, roomX / width, roomY / height);
    width *= shrink;
    height *= shrink;
    const x = left ? r - width : right ? l : Math.min(Math.max(0, (l + r - width) / 2), size.width - width);
    const y = top ? b - height : bottom ? t : Math.min(Math.max(0, (t + b - height) / 2), size.height - height);
    return rounded([x, y, x + width, y + height]);
}

/**
 * How a crop will be trained: its own pixels of the original picture, its bucket, and how much it is enlarged.
 * @param {Box} box @param {[number, number][]} buckets @param {number} scale original pixels for one of the picture
 */
export function figures(box, buckets, scale) {
    const bucket = nearestBucket(box, buckets);
    const width = Math.round((box[2] - box[0]) * scale);
    const height = Math.round((box[3] - box[1]) * scale);
    const enlarged = bucket ? Math.max(bucket[0] / Math.max(1, width), bucket[1] / Math.max(1, height)) : 1;
    return { width, height, bucket, enlarged: Math.max(1, enlarged) };
}

/**
 * The boxes as the next cut will have them: those of the last cut, moved by the user's.
 * @param {{name: string, box?: Box}[]} crops @param {string[]} own "name:left:top:right:bottom" each
 * @param {string[]} views those that are cut; none for all
 * @returns {Map<string, Box>}
 */
export function wanted(crops, own, views) {
    /** @type {Map<string, Box>} */
    const boxes = new Map();
    for (const crop of crops) {
        if (crop.box && (!views.length || views.includes(crop.name))) boxes.set(crop.name, crop.box);
    }
    for (const text of own) {
        const parts = text.split(":");
        const box = parts.slice(-4).map(Number);
        const name = parts.slice(0, -4).join(":").trim().replaceAll(" ", "_");
        if (name && box.length === 4 && box.every(Number.isFinite)) boxes.set(name, /** @type {Box} */ (box));
    }
    return boxes;
}
