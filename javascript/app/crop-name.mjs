// The name of the chosen crop, which is its file's, and for a box of one's own its caption's tag.
import { html, useState } from "./core.mjs";
import { Field } from "./field.mjs";
import { t } from "./words.mjs";

/** @param {{name: string, onRename: (which: string, to: string) => Promise<string>}} props name: "" for none chosen; onRename: tells what is wrong */
export function CropName({ name, onRename }) {
    const nothing = { of: "", text: "", bad: "" };
    const [typed, setTyped] = useState(nothing); // of another crop: not shown, so that what is typed here never names that one
    const shown = name.replaceAll("_", " ");
    const now = name && typed.of === name ? typed : { ...nothing, text: shown };
    /** @param {string} text */
    const save = async (text) => {
        const bad = text.trim() === shown ? "" : await onRename(name, text);
        setTyped(bad ? { of: name, text, bad } : nothing);
    };
    /** @param {KeyboardEvent} event */
    const pressed = (event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        setTyped(nothing);
    };
    return html`<${Field} id="sl-crop-name" label=${t("crops.name")} help=${t("crops.name.help")} bad=${now.bad}>
        <input id="sl-crop-name" type="text" autocomplete="off" disabled=${!name} value=${now.text} onKeyDown=${pressed}
            onInput=${(/** @type {any} */ event) => setTyped({ of: name, text: event.target.value, bad: "" })} onChange=${(/** @type {any} */ event) => save(event.target.value)}
            aria-describedby="sl-crop-name-help" aria-invalid=${now.bad ? "true" : null} />
    <//>`;
}
