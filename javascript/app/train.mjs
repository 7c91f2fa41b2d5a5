// Step 5: the settings that matter, block weights as bars, what it costs, and the training as it goes.
import { ask, ofWorkspace, thumbUrl } from "./api.mjs";
import { BlockBars } from "./block-bars.mjs";
import { html, useEffect, useState, useWatch } from "./core.mjs";
import { PresetList } from "./preset-list.mjs";
import { Memory } from "./memory.mjs";
import { LossChart } from "./loss-chart.mjs";
import { said } from "./sentences.mjs";
import { SettingsForm } from "./settings-form.mjs";
import { Sweep } from "./sweep.mjs";
import { StepHead } from "./stale-note.mjs";
import { attempt, change, glance, name, ownJob } from "./state.mjs";
import { clock, t } from "./words.mjs";

/** What the training costs; it follows every change of a setting. */
function Budget() {
    const seen = useWatch(glance);
    const character = useWatch(name);
    const [told, tellBudget] = useState(/** @type {any} */ (null));
    useEffect(() => {
        let gone = false;
        const timer = setTimeout(() => ask(ofWorkspace(character, "forecast")).then((plan) => !gone && tellBudget(plan), () => {}), 200);
        return () => { gone = true; clearTimeout(timer); };
    }, [character, seen?.revision.settings, seen?.revision.crops, seen?.revision.steps]);
    if (!told) return html`<p class="budget dim">${t("loading")}</p>`;
    const { training } = told;
    const parts = [t("budget.samples", { n: training.samples }), t("budget.steps", { n: training.steps, epochs: training.epochs })];
    if (training.seconds !== null) parts.push(t("forecast.about", { time: clock(training.seconds) }));
    return html`<p class="budget" id="sl-budget" role="status">${parts.join(" · ")}</p>`;
}

/** Whose preset it is, and the way back to the checkpoint's. */
function Preset() {
    const seen = useWatch(glance);
    if (!seen) return null;
    const { name: preset, why, note, whose } = seen.training_preset;
    return html`<p class="preset" id="sl-preset"><strong>${t("preset")}</strong> ${preset} <span class="dim">${said(why)}${t("stop")} ${note && said(note.replace(/\.$/, "")) + t("stop")}</span>
        ${whose === "user" ? null : html` <span class="badge">${t("preset.of_checkpoint")}</span>`}</p>`;
}

/** What earlier trainings logged, and the one that runs. */
function Progress() {
    const seen = useWatch(glance);
    const character = useWatch(name);
    const job = useWatch(ownJob);
    const [log, setLog] = useState(/** @type {any} */ (null));
    const isTraining = job?.stage === "train";
    useEffect(() => {
        let gone = false;
        const load = () => ask(ofWorkspace(character, "training")).then((told) => !gone && setLog(told), () => {});
        load();
        const timer = isTraining ? setInterval(load, 2000) : undefined;
        return () => { gone = true; clearInterval(timer); };
    }, [character, isTraining, seen?.revision.model]);
    if (!log?.steps.length) return null;
    return html`<section aria-label=${t("train.progress")}>
        <h3>${t("train.progress")}</h3>
        <${LossChart} log=${log} />
        ${log.samples.length > 0 && html`<div class="strip" aria-label=${t("train.samples")}>${log.samples.map((/** @type {string} */ file) =>
            html`<figure key=${file}><img src=${thumbUrl(character, file, 256)} alt=${file} width="96" height="96" loading="lazy" /><figcaption class="small-text dim">${file.split("/").pop()?.replace(/\.png$/, "")}</figcaption></figure>`)}</div>`}
    </section>`;
}

export function Train() {
    const seen = useWatch(glance);
    if (!seen) return null;
    return html`
        <${StepHead} step="train" stage="train" teach="train.teach" />
        <${Preset} />
        <${PresetList} />
        <${Budget} />
        <${Memory} />
        <${Progress} />
        <h3>${t("blocks")}</h3>
        <${BlockBars} value=${String(seen.settings["training.block_weights"])} onChange=${(/** @type {string} */ text) => attempt(() => change({ "training.block_weights": text }))} />
        ${seen.train_notes.length > 0 && html`<ul class="plain note warn">${[...new Set(seen.train_notes)].map((line) => html`<li>${said(line)}</li>`)}</ul>`}
        <${SettingsForm} sections=${["training"]} />
        <${Sweep} />
    `;
}
