// What is missing on this machine, what is worse without it, and the click that fetches it.
import { ask } from "./api.mjs";
import { html, useEffect, useState, useWatch } from "./core.mjs";
import { attempt, change, glance, jobs } from "./state.mjs";
import { said } from "./sentences.mjs";
import { t } from "./words.mjs";

/** @typedef {{kind: string, have: boolean, uses: string, offer: string, size: number, folder: string, files: string[]}} Tool */

/** @param {{tool: Tool}} props */
function Missing({ tool }) {
    const all = useWatch(jobs);
    const job = all.filter((each) => each.workspace === "models" && each.word === `fetch ${tool.kind}`).pop();
    const isBusy = job?.state === "running" || job?.state === "waiting";
    const fetchIt = () => attempt(() => ask(`equipment/${tool.kind}`, { body: {} }));
    return html`<div class="note" data-lacks=${tool.kind}>
        <p><strong>${t(`lacks.${tool.kind}`)}</strong> ${t(`lacks.${tool.kind}.without`, { uses: tool.uses })}</p>
        ${job?.state === "failed" && html`<p class="warn-text" role="alert">${said(job.error ?? "")}</p>`}
        ${tool.offer && html`<div class="row">
            <button type="button" class="small" disabled=${isBusy} onClick=${fetchIt}>${isBusy ? t("lacks.fetching", { percent: Math.round(100 * job.fraction) }) : t("lacks.fetch", { name: tool.offer, size: Math.round(tool.size / 1e6) })}</button>
        </div>`}
        <details><summary class="small-text">${t("lacks.by_hand")}</summary><p class="small-text">${t(tool.kind === "upscaler" ? "lacks.upscaler.by_hand" : "lacks.put", { files: tool.files.join(", "), folder: tool.folder })}</p></details>
    </div>`;
}

export function Equipment() {
    const [tools, setTools] = useState(/** @type {Tool[]} */ ([]));
    const seen = useWatch(glance);
    const ended = useWatch(jobs).filter((job) => job.workspace === "models" && job.state === "done").length;
    useEffect(() => { ask("equipment").then(setTools, () => {}); }, [ended]);
    const missing = tools.filter((tool) => !tool.have);
    const matting = tools.find((tool) => tool.kind === "matting" && tool.have);
    const unused = matting && seen && !seen.settings["prepare.matting_model"];
    if (!missing.length && !unused) return null;
    return html`<details class="equipment" id="sl-equipment"><summary>${t("lacks", { n: missing.length })}</summary>
        ${missing.map((tool) => html`<${Missing} key=${tool.kind} tool=${tool} />`)}
        ${unused && html`<div class="note"><p>${t("lacks.unused", { name: matting.uses })}</p>
            <button type="button" class="small" onClick=${() => attempt(() => change({ "prepare.matting_model": matting.uses }))}>${t("lacks.use")}</button></div>`}
    </details>`;
}
