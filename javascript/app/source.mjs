// Step 1: the picture, before and after preparing; artifacts; the mask.
import { ask, base64, fileUrl, givenUrl, ofWorkspace } from "./api.mjs";
import { wanted } from "./boxes.mjs";
import { Compare } from "./compare.mjs";
import { html, useState, useWatch } from "./core.mjs";
import { Equipment } from "./equipment.mjs";
import { Painter } from "./painter.mjs";
import { said } from "./sentences.mjs";
import { SettingsForm } from "./settings-form.mjs";
import { StepHead } from "./stale-note.mjs";
import { attempt, change, dataset, glance, name, run, tell } from "./state.mjs";
import { t } from "./words.mjs";

/** @param {{data: import("./types.d.ts").Dataset}} props */
function Artifacts({ data }) {
    const [ticked, tick] = useState(() => new Set(data.artifacts.filter((each) => each.cleaned).map((each) => each.name)));
    const toggle = (/** @type {string} */ which) => {
        const next = new Set(ticked);
        if (!next.delete(which)) next.add(which);
        tick(next);
    };
    const clean = () => attempt(async () => {
        await change({ "prepare.clean_artifacts": [...ticked].join(",") || "off" });
        await run("prepare");
    });
    return html`<fieldset class="artifacts">
        <legend>${t("artifacts")}</legend>
        ${data.artifacts.map((each) => html`<label key=${each.name} class="inline block"><input type="checkbox" checked=${ticked.has(each.name)} onChange=${() => toggle(each.name)} />
            <strong>${each.name}</strong> ${said(each.sentence)} ${each.cleaned && html`<span class="badge">${t("artifacts.cleaned")}</span>`}</label>`)}
        <button type="button" class="small" id="sl-clean" onClick=${clean}>${t("artifacts.clean")}</button>
    </fieldset>`;
}

/** The stray colours' places; halos and JPEG noise are everywhere. @param {import("./types.d.ts").Dataset["artifacts"]} artifacts */
function marks(artifacts) {
    return artifacts.filter((each) => each.kind === "stray" && each.box && !each.cleaned);
}

export function Source() {
    const seen = useWatch(glance);
    const data = useWatch(dataset);
    const character = useWatch(name);
    if (!seen) return null;
    const boxes = wanted(data?.crops ?? [], seen.settings["crop.boxes"] ?? [], seen.settings["crop.views"] ?? []);
    const url = (/** @type {string} */ file) => fileUrl(character, file, seen.revision.source);
    /** @param {import("./mask-layer.mjs").MaskLayer} layer */
    const save = (layer) => attempt(async () => {
        const picture = await base64(await layer.png());
        await ask(ofWorkspace(character, "mask"), { method: "PUT", body: { picture } });
        tell(t("paint.saved"));
    });
    const notes = data?.notes.prepare ?? [];
    return html`
        <${StepHead} step="source" stage="prepare" teach="source.teach" />
        ${!seen.prepared && seen.original && html`<img class="original" src=${givenUrl(character, seen.original, seen.revision.source)} alt=${t("source.original")} />`}
        ${seen.prepared && html`<div class="split even">
            <div>
                <h3>${t("source.mask")}</h3>
                ${seen.mask && html`<${Painter} id="sl-mask" picture=${url(seen.prepared)} mask=${url(seen.mask)} inverse=${true} boxes=${boxes} save=${t("paint.save")} onSave=${save} />`}
            </div>
            <div>
                <h3>${t("source.prepared")}</h3>
                ${data && data.substeps.length > 1 && html`<${Compare} key=${character} pictures=${data.substeps.map((each) => ({ ...each, url: givenUrl(character, each.file, seen.revision.source) }))} marks=${marks(data.artifacts)} />`}
                ${data && data.artifacts.length > 0 && html`<${Artifacts} key=${JSON.stringify(data.artifacts)} data=${data} />`}
                ${notes.length > 0 && html`<ul class="plain">${notes.map((line) => html`<li class=${line.startsWith("warning:") ? "warn-text" : ""}>${said(line)}</li>`)}</ul>`}
            </div>
        </div>`}
        <${Equipment} />
        <${SettingsForm} sections=${["prepare"]} />
    `;
}
