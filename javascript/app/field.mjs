// A label, its field, and what it does.
import { html } from "./core.mjs";

/** @param {{id: string, label: string, help?: string, children?: any, extra?: any}} props */
export function Field({ id, label, help = "", children, extra }) {
    return html`<div class="field">
        <div class="field-head"><label for=${id}>${label}</label>${extra}</div>
        ${children}
        ${help && html`<p class="help" id=${`${id}-help`}>${help}</p>`}
    </div>`;
}
