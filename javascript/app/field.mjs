// A label, its field, and what it does, or what is wrong with it.
import { html } from "./core.mjs";

/** @param {{id: string, label: string, help?: string, bad?: string, children?: any, extra?: any}} props bad: stands in the help's place */
export function Field({ id, label, help = "", bad = "", children, extra }) {
    return html`<div class="field">
        <div class="field-head"><label for=${id}>${label}</label>${extra}</div>
        ${children}
        ${bad ? html`<p key="bad" class="help bad-text" id=${`${id}-help`} role="alert">${bad}</p>` : help && html`<p key="help" class="help" id=${`${id}-help`}>${help}</p>`}
    </div>`;
}
