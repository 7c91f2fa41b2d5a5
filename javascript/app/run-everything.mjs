// "Run everything": what it will do, how much, how long, with which preset and why; then it does it.
import { ask, ofWorkspace } from "./api.mjs";
import { html, signal, useEffect, useState, useWatch } from "./core.mjs";
import { Memory } from "./memory.mjs";
import { Dialog } from "./dialog.mjs";
import { said } from "./sentences.mjs";
import { clock, t } from "./words.mjs";
import { attempt, name, ownJob, run, tell } from "./state.mjs";

export const runOpen = signal(false);
const LOOKS = ["", "prepare", "crop", "caption", "regularize", "train", "plot"];

/** @param {import("./types.d.ts").StageForecast} stage */
function figures(stage) {
    const told = [];
    if (stage.pictures) told.push(t("forecast.pictures", { n: stage.pictures }));
    if (stage.steps) told.push(t("forecast.steps", { n: stage.steps }));
    if (stage.seconds) told.push(t("forecast.about", { time: clock(stage.seconds) }));
    return told.join(", ");
}

/** @param {{onClose: () => void}} props */
function Plan({ onClose }) {
    const [plan, setPlan] = useState(/** @type {import("./types.d.ts").Forecast | null} */ (null));
    const [until, setUntil] = useState("");
    const chosen = useWatch(name);
    useEffect(() => {
        ask(ofWorkspace(chosen, "forecast")).then(setPlan, (error) => { tell(error); onClose(); });
    }, [chosen]);
    const isDone = plan?.stages.every((stage) => ["nothing", "skips"].includes(stage.does));
    return html`<${Dialog} title=${t("forecast")} onClose=${onClose}>
        ${!plan && html`<p class="dim" role="status">${t("loading")}</p>`}
        ${plan && html`
            <ol class="plan">
                ${plan.stages.map((stage) => html`<li key=${stage.stage} class=${`does-${stage.does.replace(" ", "-")}`}>
                    <strong>${t(`stage.${stage.stage}`)}</strong>
                    <span>${t(`does.${stage.does}`)}</span>
                    <span class="dim">${figures(stage)}</span>
                </li>`)}
            </ol>
            ${isDone && html`<p class="note">${t("forecast.nothing")}</p>`}
            ${!isDone && html`<p><strong>${t("forecast.time")}</strong> ${plan.seconds_known || plan.seconds ? t(plan.seconds_known ? "forecast.about" : "forecast.at_least", { time: clock(plan.seconds) }) : t("forecast.unknown")}</p>`}
            <${Memory} />
            <p><strong>${t("preset")}</strong> ${plan.preset.name} <span class="dim">${said(plan.preset.why)}</span></p>
            <label class="inline">${t("forecast.look")}
                <select id="sl-run-until" value=${until} onChange=${(/** @type {any} */ event) => setUntil(event.target.value)}>
                    ${LOOKS.map((stage) => html`<option value=${stage}>${stage ? t("forecast.after", { stage: t(`stage.${stage}`) }) : t("forecast.end")}</option>`)}
                </select>
            </label>
            <div class="row end">
                <button type="button" onClick=${onClose}>${t("cancel")}</button>
                <button type="button" class="primary" id="sl-run-now" autofocus onClick=${() => { onClose(); attempt(() => run("run", until ? { until } : {})); }}>${t("forecast.start")}</button>
            </div>
        `}
    <//>`;
}

export function RunEverything() {
    const asking = useWatch(runOpen);
    const job = useWatch(ownJob);
    return html`<span class="run-everything">
        <button type="button" class="primary big" id="sl-run" disabled=${job?.word === "run"} onClick=${() => { runOpen.value = true; }}>${t("run.everything")}</button>
        ${asking && html`<${Plan} onClose=${() => { runOpen.value = false; }} />`}
    </span>`;
}
