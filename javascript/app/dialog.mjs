// Dialogs: the browser's own <dialog>, which keeps the focus inside and gives it back.
import { html, useId, useLayoutEffect, useRef } from "./core.mjs";
import { t } from "./words.mjs";

/** @param {{title: string, onClose: () => void, children?: any, wide?: boolean}} props */
export function Dialog({ title, onClose, children, wide = false }) {
    const box = useRef(/** @type {HTMLDialogElement | null} */ (null));
    const heading = useId();
    // Before the next key can come: one that is pressed at once belongs to the dialog already.
    useLayoutEffect(() => {
        const dialog = box.current;
        if (dialog && !dialog.open) dialog.showModal();
        return () => dialog?.close();
    }, []);
    /** @param {MouseEvent} event */
    const pressed = (event) => {
        if (event.target === box.current) onClose();
    };
    return html`<dialog
        ref=${box}
        class=${wide ? "wide" : ""}
        aria-labelledby=${heading}
        onCancel=${(/** @type {Event} */ event) => { event.preventDefault(); onClose(); }}
        onMouseDown=${pressed}
    >
        <div class="dialog-head">
            <h2 id=${heading}>${title}</h2>
            <button type="button" class="icon" aria-label=${t("close")} onClick=${onClose}>✕</button>
        </div>
        ${children}
    </dialog>`;
}

/** @param {{title: string, text: string, yes: string, onYes: () => void, onClose: () => void}} props */
export function Confirm({ title, text, yes, onYes, onClose }) {
    return html`<${Dialog} title=${title} onClose=${onClose}>
        <p>${text}</p>
        <div class="row end">
            <button type="button" onClick=${onClose}>${t("cancel")}</button>
            <button type="button" class="primary" autofocus onClick=${() => { onClose(); onYes(); }}>${yes}</button>
        </div>
    <//>`;
}
