// What every component takes from the vendored libraries, and the hook between the two.
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/preact.mjs";

export { html, render } from "./vendor/preact.mjs";
export { useEffect, useLayoutEffect, useMemo, useRef, useState };
export { batch, computed, effect, signal } from "./vendor/signals.mjs";

/**
 * The value of a signal; the component is drawn anew when it changes.
 * @template T
 * @param {{readonly value: T, subscribe(listener: (value: T) => void): () => void}} source
 * @returns {T}
 */
export function useWatch(source) {
    const [, redraw] = useState(0);
    useLayoutEffect(() => {
        let first = true;
        return source.subscribe(() => {
            if (!first) redraw((count) => count + 1);
            first = false;
        });
    }, [source]);
    return source.value;
}

/**
 * Class names without those that are false.
 * @param {...(string | false | null | undefined)} names
 */
export function classes(...names) {
    return names.filter(Boolean).join(" ");
}

let numbers = 0;

/** An id that no other element of the page has, the same at each drawing of a component. */
export function useId() {
    return useMemo(() => `sl-${++numbers}`, []);
}

export { html as default };
