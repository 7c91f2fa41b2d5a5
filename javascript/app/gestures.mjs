// Pointers on a canvas: one draws, two zoom and pan, the wheel zooms, the middle button pans.

/**
 * @typedef {{down(x: number, y: number, event: PointerEvent): void,
 *     move(x: number, y: number, event: PointerEvent): void,
 *     up(event: PointerEvent): void, cancel(): void,
 *     hover?(x: number, y: number): void, moved(): void}} Hand
 */

/**
 * @param {HTMLElement} place
 * @param {import("./viewport.mjs").Viewport} view
 * @param {Hand} hand what one pointer does; moved: the view did
 * @returns {() => void} ends it
 */
export function gestures(place, view, hand) {
    /** @type {Map<number, [number, number]>} */
    const pointers = new Map();
    let drawing = -1;
    let panning = -1;
    /** @param {PointerEvent | WheelEvent} event @returns {[number, number]} */
    const at = (event) => {
        const box = place.getBoundingClientRect();
        return [event.clientX - box.left, event.clientY - box.top];
    };
    /** @param {PointerEvent} event */
    const down = (event) => {
        place.setPointerCapture(event.pointerId);
        pointers.set(event.pointerId, at(event));
        if (pointers.size === 2) {
            if (drawing >= 0) hand.cancel();
            drawing = panning = -1;
        } else if (event.button === 1 || event.button === 2 || event.ctrlKey) {
            panning = event.pointerId;
        } else if (pointers.size === 1) {
            drawing = event.pointerId;
            hand.down(...at(event), event);
        }
        if (event.button === 1) event.preventDefault();
    };
    /** @param {PointerEvent} event */
    const move = (event) => {
        const now = at(event);
        const before = pointers.get(event.pointerId);
        if (!before) return hand.hover?.(...now);
        if (pointers.size === 2) pinch(event.pointerId, before, now);
        else if (panning === event.pointerId) {
            view.pan(now[0] - before[0], now[1] - before[1]);
            hand.moved();
        } else if (drawing === event.pointerId) hand.move(...now, event);
        pointers.set(event.pointerId, now);
    };
    /** @param {number} id @param {[number, number]} before @param {[number, number]} now */
    const pinch = (id, before, now) => {
        const other = [...pointers].find(([each]) => each !== id)?.[1];
        if (!other) return;
        const length = (/** @type {[number, number]} */ p) => Math.hypot(p[0] - other[0], p[1] - other[1]) || 1;
        view.zoom(length(now) / length(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
        view.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
        hand.moved();
    };
    /** @param {PointerEvent} event */
    const up = (event) => {
        pointers.delete(event.pointerId);
        if (drawing === event.pointerId) hand.up(event);
        drawing = panning = -1;
    };
    /** @param {WheelEvent} event */
    const wheel = (event) => {
        event.preventDefault();
        view.zoom(Math.exp(-event.deltaY * 0.0015), ...at(event));
        hand.moved();
    };
    const menu = (/** @type {Event} */ event) => event.preventDefault();
    place.addEventListener("pointerdown", down);
    place.addEventListener("pointermove", move);
    place.addEventListener("pointerup", up);
    place.addEventListener("pointercancel", up);
    place.addEventListener("wheel", wheel, { passive: false });
    place.addEventListener("contextmenu", menu);
    return () => {
        place.removeEventListener("pointerdown", down);
        place.removeEventListener("pointermove", move);
        place.removeEventListener("pointerup", up);
        place.removeEventListener("pointercancel", up);
        place.removeEventListener("wheel", wheel);
        place.removeEventListener("contextmenu", menu);
    };
}
