// The files themselves: summary, baking block weights in, merging epochs, a smaller rank.
import { ask, fileUrl, ofWorkspace } from "./api.mjs";
import { html, useEffect, useState, useWatch } from "./core.mjs";
import { attempt, glance, name, reload } from "./state.mjs";
import { t } from "./words.mjs";

export function LoraFiles() {
    const seen = useWatch(glance);
    const character = useWatch(name);
    const [files, setFiles] = useState(/** @type {string[]} */ ([]));
    const [file, setFile] = useState("");
    const [told, tellResult] = useState(/** @type {any} */ (null));
    const [preset, setPreset] = useState("OUTD");
    const [strength, setStrength] = useState(0.8);
    const [several, setSeveral] = useState(/** @type {string[]} */ ([]));
    const [method, setMethod] = useState("average");
    const [rank, setRank] = useState(8);
    const list = () => ask(ofWorkspace(character, "loras")).then(setFiles, () => {});
    useEffect(() => { list(); }, [character, seen?.revision.model]);
    /** @param {string} verb @param {Record<string, unknown>} body */
    const make = (verb, body) => () => attempt(async () => {
        tellResult(await ask(ofWorkspace(character, verb), { body }));
        await Promise.all([list(), reload()]);
    });
    const summary = () => attempt(async () => tellResult(await ask(`${ofWorkspace(character, "summary")}?lora=${encodeURIComponent(file)}`)));
    return html`<details class="files" id="sl-files"><summary>${t("files", { n: files.length })}</summary>
        <div class="row">
            <label class="inline">${t("files.lora")} <select id="sl-file" value=${file} onChange=${(/** @type {any} */ event) => setFile(event.target.value)}>
                <option value="">${t("files.recommended")}</option>${files.map((each) => html`<option value=${each}>${each}</option>`)}
            </select></label>
            <button type="button" class="small" id="sl-summary" onClick=${summary}>${t("files.summary")}</button>
        </div>
        <div class="row">
            <label class="inline">${t("files.preset")} <input id="sl-bake-preset" value=${preset} onInput=${(/** @type {any} */ event) => setPreset(event.target.value)} /></label>
            <label class="inline">${t("files.strength")} <input type="number" step="0.05" value=${strength} onInput=${(/** @type {any} */ event) => setStrength(Number(event.target.value))} /></label>
            <button type="button" class="small" id="sl-bake" onClick=${make("bake", { lora: file, preset: preset || "ALL", strength })}>${t("files.bake")}</button>
        </div>
        <fieldset class="row"><legend>${t("files.epochs")}</legend>
            ${files.map((each) => html`<label class="inline" key=${each}><input type="checkbox" checked=${several.includes(each)} onChange=${() => setSeveral(several.includes(each) ? several.filter((one) => one !== each) : [...several, each])} /> ${each}</label>`)}
            <label class="inline">${t("files.method")} <select value=${method} onChange=${(/** @type {any} */ event) => setMethod(event.target.value)}><option value="average">${t("files.average")}</option><option value="ema">${t("files.ema")}</option></select></label>
            <button type="button" class="small" id="sl-merge" disabled=${several.length < 2} onClick=${make("merge", { loras: several, method })}>${t("files.merge")}</button>
        </fieldset>
        <div class="row">
            <label class="inline">${t("files.rank")} <input id="sl-rank" type="number" min="1" value=${rank} onInput=${(/** @type {any} */ event) => setRank(Number(event.target.value) || 1)} /></label>
            <button type="button" class="small" id="sl-resize" onClick=${make("resize", { lora: file, rank })}>${t("files.resize")}</button>
        </div>
        ${told && html`<div class="note" role="status" id="sl-files-told">
            ${told.name && html`<code>${`<lora:${told.name}:1>`}</code>`} ${told.told ? `${told.told}. ${t("files.lies", { file: told.file })}` : told.description}
            ${told.picture && html`<img class="wide-picture" src=${fileUrl(character, told.picture, String(Date.now()))} alt=${told.description} />`}
        </div>`}
    </details>`;
}
