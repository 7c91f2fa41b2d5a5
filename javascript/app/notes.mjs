// Lines for the user at the page's foot: what was done, with undo, and what went wrong.
import { classes, html, useWatch } from "./core.mjs";
import { t } from "./words.mjs";
import { dismiss, notes } from "./state.mjs";
import { KeyHelp } from "./key-help.mjs";

export function Notes() {
    const shown = useWatch(notes);
    return html`
        <div class="notes" role="log" aria-live="polite" aria-label=${t("notes")}>
            ${shown.map((note) => html`<div key=${note.id} class=${classes("toast", note.bad && "bad")} role=${note.bad ? "alert" : "status"}>
                <span>${note.text}</span>
                ${note.undo && html`<button type="button" class="small" onClick=${() => { dismiss(note.id); note.undo?.(); }}>${t("undo")}</button>`}
                <button type="button" class="icon" aria-label=${t("close")} onClick=${() => dismiss(note.id)}>✕</button>
            </div>`)}
        </div>
        <${KeyHelp} />
    `;
}
