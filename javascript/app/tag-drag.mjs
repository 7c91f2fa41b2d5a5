// Tags dragged into another order: by mouse at once, by finger after it rested on one, so that a swipe still scrolls.
import { useEffect, useRef, useState } from "./core.mjs";

const HOLD = 350; // milliseconds that a finger rests before it lifts a tag
const SLACK = 10; // CSS pixels that it may move meanwhile: more is a swipe
const START = 4; // CSS pixels from which on a mouse drags

const LIFT = 22; // CSS pixels that the tag hangs above the pointer, so that the mark of where it lands is seen

/** @typedef {{left: number, top: number, right: number, bottom: number}} Rect */
/** @typedef {{tag: string, chip: HTMLElement, id: number, at: [number, number], isFinger: boolean, isLifted: boolean, gap: number, timer: number}} Hand */

/**
 * The gap that a point is nearest to: 0 before the first, as many as there are after the last.
 * @param {Rect[]} rects in reading order, in rows @param {number} x @param {number} y
 */
export function gapAt(rects, x, y) {
    const away = (/** @type {Rect} */ { top, bottom }) => Math.max(top - y, 0, y - bottom);
    const nearest = Math.min(...rects.map(away));
    const row = rects.flatMap((rect, index) => (away(rect) === nearest ? [index] : []));
    const after = row.find((index) => x < (rects[index].left + rects[index].right) / 2);
    return after ?? (row.length ? row[row.length - 1] + 1 : 0);
}

/** Where a thing lands in the list without it. @param {number} from @param {number} gap */
export function placeOf(from, gap) {
    return gap > from ? gap - 1 : gap;
}

/**
 * @param {{current: HTMLElement | null}} list whose elements with data-tag are dragged
 * @param {(tag: string, to: number) => void} onDrop
 * @param {boolean} isShown whether the list is on the page
 */
export function useTagDrag(list, onDrop, isShown) {
    const [held, hold] = useState({ tag: "", gap: -1 });
    const hand = useRef(/** @type {Hand | null} */ (null));
    const chips = () => /** @type {HTMLElement[]} */ ([...(list.current?.querySelectorAll("[data-tag]") ?? [])]);
    const stop = () => {
        const own = hand.current;
        hand.current = null;
        if (!own) return;
        clearTimeout(own.timer);
        own.chip.style.transform = "";
        hold({ tag: "", gap: -1 });
    };
    const lift = () => {
        const own = hand.current;
        if (!own) return;
        own.isLifted = true;
        if (own.chip.isConnected) own.chip.setPointerCapture(own.id);
        hold({ tag: own.tag, gap: -1 });
    };
    useEffect(() => {
        const place = list.current;
        // The browser scrolls by a finger that it was not told about, and then takes the finger away.
        const still = (/** @type {Event} */ event) => { if (hand.current?.isLifted && event.cancelable) event.preventDefault(); };
        const noMenu = (/** @type {Event} */ event) => { if (hand.current?.isFinger) event.preventDefault(); };
        const escape = (/** @type {KeyboardEvent} */ event) => { if (event.key === "Escape") stop(); };
        place?.addEventListener("touchmove", still, { passive: false });
        place?.addEventListener("contextmenu", noMenu);
        document.addEventListener("keydown", escape);
        return () => {
            place?.removeEventListener("touchmove", still);
            place?.removeEventListener("contextmenu", noMenu);
            document.removeEventListener("keydown", escape);
            stop();
        };
    }, [isShown]);
    return {
        ...held,
        onPointerDown: (/** @type {PointerEvent} */ event) => {
            const target = /** @type {HTMLElement} */ (event.target);
            const chip = /** @type {HTMLElement | null} */ (target.closest("[data-tag]"));
            stop();
            if (!chip || event.button || !event.isPrimary || target.closest("button")) return;
            const isFinger = event.pointerType !== "mouse";
            hand.current = { tag: chip.dataset.tag ?? "", chip, id: event.pointerId, at: [event.clientX, event.clientY], isFinger, isLifted: false, gap: -1, timer: isFinger ? window.setTimeout(lift, HOLD) : 0 };
        },
        onPointerMove: (/** @type {PointerEvent} */ event) => {
            const own = hand.current;
            if (!own || event.pointerId !== own.id) return;
            const [dx, dy] = [event.clientX - own.at[0], event.clientY - own.at[1]];
            const far = Math.hypot(dx, dy);
            if (!own.isLifted && own.isFinger) return far > SLACK ? stop() : undefined;
            if (!own.isLifted && far < START) return;
            if (!own.isLifted) lift();
            own.chip.style.transform = "";
            const rects = chips().map((chip) => chip.getBoundingClientRect());
            own.chip.style.transform = `translate(${dx}px, ${dy - LIFT}px)`;
            own.gap = gapAt(rects, event.clientX, event.clientY);
            hold({ tag: own.tag, gap: own.gap });
        },
        onPointerUp: (/** @type {PointerEvent} */ event) => {
            const own = hand.current;
            if (!own || event.pointerId !== own.id) return;
            const from = chips().indexOf(own.chip);
            const to = placeOf(from, own.gap);
            stop();
            if (own.isLifted && own.gap >= 0 && from >= 0 && to !== from) onDrop(own.tag, to);
        },
        onPointerCancel: stop,
    };
}
