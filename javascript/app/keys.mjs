// Keys of the whole page; a list of all keys opens with "?".
import { signal } from "./core.mjs";
import { STEPS } from "./step-bar.mjs";
import { name, step } from "./state.mjs";

export const helpOpen = signal(false);

/** True where a key is text and no command. @param {Event} event */
export function isTyping(event) {
    const target = /** @type {HTMLElement} */ (event.composedPath()[0]);
    if (!(target instanceof HTMLElement)) return false;
    if (target instanceof HTMLInputElement) return !["checkbox", "radio", "range"].includes(target.type);
    return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement || target.isContentEditable;
}

/** Listen; the function ends it. */
export function keys() {
    /** @param {KeyboardEvent} event */
    const pressed = (event) => {
        const page = event.composedPath().find((each) => each instanceof HTMLElement && each.localName === "single-lora");
        if (!page) return;
        if (event.altKey && /^[1-6]$/.test(event.key) && name.value) {
            event.preventDefault();
            step.value = STEPS[Number(event.key) - 1];
        } else if (event.key === "?" && !isTyping(event)) {
            helpOpen.value = true;
        }
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
}
