// What the trigger shall learn: traits that captions leave out.
import { ask, ofWorkspace } from "./api.mjs";
import { html, useState } from "./core.mjs";
import { attempt, name, reload, run } from "./state.mjs";
import { said } from "./sentences.mjs";
import { t } from "./words.mjs";

/** @param {{traits: import("./types.d.ts").Dataset["traits"]}} props */
export function Traits({ traits }) {
    const [left, leave] = useState(() => new Set(traits.filter((each) => each.left_out).map((each) => each.tag)));
    if (!traits.length) return null;
    const toggle = (/** @type {string} */ tag) => {
        const next = new Set(left);
        if (!next.delete(tag)) next.add(tag);
        leave(next);
    };
    const write = () => attempt(async () => {
        await ask(ofWorkspace(name.value, "traits"), { method: "PUT", body: { left_out: [...left] } });
        await run("caption");
        await reload();
    });
    return html`<fieldset class="traits" id="sl-traits"><legend>${t("traits")}</legend>
        <p class="help">${t("traits.help")}</p>
        <div class="chips">${traits.map((each) => html`<label key=${each.tag} class="chip check" data-category=${each.category} title=${(each.reason && said(each.reason)) || t("traits.seen", { seen: each.seen, visible: each.visible })}>
            <input type="checkbox" checked=${left.has(each.tag)} onChange=${() => toggle(each.tag)} /> ${each.tag}
            <span class="dim">${each.reason ? t("traits.implausible") : `${each.category}, ${each.seen}/${each.visible}`}</span>
        </label>`)}</div>
        <button type="button" class="small" id="sl-traits-write" onClick=${write}>${t("traits.write")}</button>
    </fieldset>`;
}
