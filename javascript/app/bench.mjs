// The inpainting bench: a picture, what of it is redrawn, the results, and what becomes of them.
import { ask, base64, fileUrl, ofWorkspace, thumbUrl } from "./api.mjs";
import { classes, html, useEffect, useRef, useState, useWatch } from "./core.mjs";
import { useDraft } from "./draft.mjs";
import { Exam } from "./exam.mjs";
import { DropZone } from "./drop-zone.mjs";
import { NextVersion } from "./next-version.mjs";
import { Painter } from "./painter.mjs";
import { attempt, change, declarations, glance, name, ownJob, program } from "./state.mjs";
import { SettingField } from "./setting-field.mjs";
import { t } from "./words.mjs";

/** ControlNet's units, those that the program around the page has. */
function Controls() {
    const { controls } = useWatch(program);
    const seen = useWatch(glance);
    const all = useWatch(declarations);
    if (!controls.length || !seen) return null;
    const byHand = new Set(seen.by_hand);
    const both = ["inpaint", "reference"].every((each) => controls.includes(each));
    const fields = ["inpaint.controlnet", "inpaint.controlnet_weight"].flatMap((setting) => all.filter((each) => each.name === setting));
    return html`<div class="grid" id="sl-controls">${fields.map((declared) => {
        const choices = declared.choices.filter((each) => each === "off" || controls.includes(each) || (each === "both" && both));
        return html`<${SettingField} key=${declared.name} prefix="sl-bench" declared=${{ ...declared, choices }} value=${seen.settings[declared.name]} byHand=${byHand.has(declared.name)} />`;
    })}</div>`;
}

export function Bench() {
    const seen = useWatch(glance);
    const character = useWatch(name);
    const job = useWatch(ownJob);
    const [file, setFile] = useState(/** @type {Blob | null} */ (null));
    const [url, setUrl] = useState("");
    const [painted, paint] = useState(false);
    const [chosen, choose] = useState(0);
    const layer = useRef(/** @type {import("./mask-layer.mjs").MaskLayer | null} */ (null));
    useEffect(() => {
        if (!file) return setUrl("");
        const made = URL.createObjectURL(file);
        setUrl(made);
        return () => URL.revokeObjectURL(made);
    }, [file]);
    const prompt = useDraft(String(seen?.settings["inpaint.prompt"] ?? ""), (text) => attempt(() => change({ "inpaint.prompt": text })));
    if (!seen?.prepared) return null;
    const picture = url || fileUrl(character, seen.prepared, seen.revision.source);
    const mask = !url && seen.inpaint_mask ? fileUrl(character, seen.inpaint_mask, seen.revision.inpaint) : "";
    const given = async () => {
        const mask = painted ? layer.current : null;
        return {
            ...(file ? { picture: await base64(file) } : {}),
            ...(mask ? { mask: await base64(await mask.png()) } : {}),
        };
    };
    const start = () => attempt(async () => ask(ofWorkspace(character, "inpaint"), { body: await given() }));
    const suggest = () => attempt(async () => {
        const told = await ask(ofWorkspace(character, "suggest"), { body: await given() });
        await change({ "inpaint.prompt": told.prompt });
    });
    // Of a picture of one's own nobody knows what shall become the character: it is painted.
    const take = (/** @type {Blob | null} */ one) => { setFile(one); if (one) paint(true); };
    const results = seen.inpainted.filter((each) => !each.endsWith("/strip.png"));
    const isBusy = job?.word === "inpaint";
    return html`<section class="bench" id="sl-bench" aria-label=${t("bench")}>
        <h3>${t("bench")}</h3>
        <p class="help">${t("bench.teach")}</p>
        <div class="split even">
            <div>
                <${DropZone} label=${t("bench.picture")} file=${file} onFile=${take} small=${true} />
                <label class="inline"><input type="checkbox" id="sl-bench-mask" checked=${painted} onChange=${(/** @type {any} */ event) => paint(event.target.checked)} /> ${t("bench.mask")}</label>
                ${painted && html`<${Painter} key=${picture} id="sl-bench-paint" picture=${picture} mask=${mask} onLayer=${(/** @type {any} */ made) => { layer.current = made; }} />`}
            </div>
            <div>
                <label for="sl-bench-prompt">${t("bench.prompt")}</label>
                <textarea id="sl-bench-prompt" rows="3" ...${prompt} placeholder=${t("bench.prompt.empty")}></textarea>
                <${Controls} />
                <div class="row">
                    <button type="button" class="small" id="sl-suggest" onClick=${suggest}>${t("bench.suggest")}</button>
                    <button type="button" class="primary" data-run="inpaint" disabled=${isBusy} onClick=${start}>${t(isBusy ? "running" : "run.inpaint")}</button>
                </div>
                ${results.length > 0 && html`<div class="gallery" id="sl-inpainted" role="radiogroup" aria-label=${t("bench.results")}>
                    ${results.map((each, at) => html`<button type="button" key=${each} role="radio" aria-checked=${String(at === chosen)} class=${classes("pick", at === chosen && "is-chosen")} onClick=${() => choose(at)} onDblClick=${() => window.open(fileUrl(character, each), "_blank", "noopener")}>
                        <img src=${thumbUrl(character, each, 256, seen.revision.inpaint)} alt=${t("bench.result", { n: at + 1 })} loading="lazy" />
                    </button>`)}
                </div>`}
                ${results.length > 0 && html`<a class="button small" href=${fileUrl(character, results[Math.min(chosen, results.length - 1)])} target="_blank" rel="noopener">${t("bench.open")}</a>`}
                <${NextVersion} picture=${results[Math.min(chosen, results.length - 1)] ?? ""} />
            </div>
        </div>
        <${Exam} />
    </section>`;
}
