// The same change in all captions, seen before it is made, and taken back.
import { ask, ofWorkspace } from "./api.mjs";
import { undoCaptions } from "./captions.mjs";
import { html, useState, useWatch } from "./core.mjs";
import { attempt, name, reload, tell } from "./state.mjs";
import { preview, tagsOf } from "./tags.mjs";
import { inTurn } from "./turns.mjs";
import { t } from "./words.mjs";

/** @param {{data: import("./types.d.ts").Dataset, known: any}} props */
export function BulkEdit({ data, known }) {
    const character = useWatch(name);
    const [add, setAdd] = useState("");
    const [remove, setRemove] = useState("");
    const [from, setFrom] = useState("");
    const [to, setTo] = useState("");
    const edit = {
        add: tagsOf(add),
        remove: tagsOf(remove),
        replace: /** @type {[string, string][]} */ (from.trim() && to.trim() ? [[from.trim(), to.trim()]] : []),
    };
    const changed = preview(data.captions, edit);
    const asked = edit.add.length || edit.remove.length || edit.replace.length;
    const apply = () => inTurn(() => attempt(async () => {
        const replace = edit.replace.map((pair) => pair.join("="));
        await ask(ofWorkspace(character, "tags"), { body: { add: edit.add, remove: edit.remove, replace } });
        for (const clear of [setAdd, setRemove, setFrom, setTo]) clear("");
        await reload();
        tell(t("bulk.done", { n: changed.length }), undoCaptions);
    }));
    /** @param {string} id @param {string} value @param {(text: string) => void} set */
    const field = (id, value, set) => html`<label class="inline">${t(`bulk.${id}`)}
        <input id=${`sl-bulk-${id}`} value=${value} list="sl-bulk-tags" size="14" onInput=${(/** @type {any} */ event) => set(event.target.value)} /></label>`;
    return html`<details class="bulk" id="sl-bulk"><summary>${t("bulk")}</summary>
        <datalist id="sl-bulk-tags">${Object.keys(data.tags).map((tag) => html`<option value=${tag}></option>`)}</datalist>
        <div class="row">
            ${field("add", add, setAdd)} ${field("remove", remove, setRemove)} ${field("from", from, setFrom)} ${field("to", to, setTo)}
            <button type="button" class="small primary" id="sl-bulk-apply" disabled=${!changed.length} onClick=${apply}>${t("bulk.apply", { n: changed.length })}</button>
            <button type="button" class="small" id="sl-bulk-undo" disabled=${!data.undoable} onClick=${undoCaptions}>${t("bulk.undo", { n: data.undoable })}</button>
        </div>
        ${asked ? html`<ul class="plain preview" aria-label=${t("bulk.preview")}>
            ${!changed.length && html`<li class="dim">${t("bulk.none")}</li>`}
            ${changed.slice(0, 20).map((each) => html`<li key=${each.name}><strong>${each.name.replaceAll("_", " ")}</strong> ${marked(each.before, each.after)}</li>`)}
        </ul>` : null}
    </details>`;
}

/** The caption after a change, with what goes and what comes marked. @param {string} before @param {string} after */
function marked(before, after) {
    const [old, now] = [tagsOf(before), tagsOf(after)];
    return html`${old.filter((tag) => !now.includes(tag)).map((tag) => html`<del>${tag}</del> `)}${now.filter((tag) => !old.includes(tag)).map((tag) => html`<ins>${tag}</ins> `)}`;
}
