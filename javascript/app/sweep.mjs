// Several values of settings, tried one after the other: what that costs, its start, its results.
import { ask, fileUrl, ofWorkspace } from "./api.mjs";
import { html, signal, useEffect, useState, useWatch } from "./core.mjs";
import { attempt, declarations, name, ownJob, tell } from "./state.mjs";
import { around, canVary } from "./sweep-values.mjs";
import { clock, t, tOr } from "./words.mjs";

/** What is tried: values by the setting's name, as `sweep --set` takes them. */
export const tried = signal(/** @type {Record<string, string>} */ ({}));

/** The button beside a setting. @param {{declared: import("./types.d.ts").Declaration, value: any}} props */
export function TrySeveral({ declared, value }) {
    const chosen = useWatch(tried);
    if (!canVary(declared) || declared.name in chosen) return null;
    const add = () => {
        tried.value = { ...chosen, [declared.name]: around(declared, value) };
        requestAnimationFrame(() => document.getElementById("sl-sweep")?.scrollIntoView({ block: "nearest" }));
    };
    return html`<button type="button" class="link small-text" title=${t("sweep.try.help")} onClick=${add}>${t("sweep.try")}</button>`;
}

/** The tried settings with their values. */
function Tried() {
    const chosen = useWatch(tried);
    const all = useWatch(declarations);
    /** @param {string} setting @param {string | null} text */
    const put = (setting, text) => {
        const { [setting]: _, ...others } = chosen;
        tried.value = text === null ? others : { ...chosen, [setting]: text };
    };
    return html`<div class="grid">${Object.entries(chosen).map(([setting, text]) => {
        const declared = all.find((each) => each.name === setting);
        const id = `sl-try-${setting.replaceAll(".", "-")}`;
        return html`<div class="field" key=${setting}>
            <div class="field-head"><label for=${id}>${tOr(`setting.${setting}`, declared?.label ?? setting)}</label>
                <button type="button" class="link small-text" onClick=${() => put(setting, null)}>${t("sweep.remove")}</button></div>
            <input type="text" id=${id} value=${text} onInput=${(/** @type {any} */ event) => put(setting, event.target.value)} />
        </div>`;
    })}</div>`;
}

/** What is asked of the routes. @param {Record<string, string>} values @param {string} budget */
function asked(values, budget) {
    return { values, budget: budget ? Number(budget) : null };
}

/** How many trials and how long, before anything starts, and the start. */
function Plan() {
    const chosen = useWatch(tried);
    const character = useWatch(name);
    const job = useWatch(ownJob);
    const [budget, setBudget] = useState("");
    const [told, tellPlan] = useState({ text: "", bad: false });
    useEffect(() => {
        let gone = false;
        const timer = setTimeout(() => ask(ofWorkspace(character, "sweeps/plan"), { body: asked(chosen, budget) }).then(
            (plan) => !gone && tellPlan({ text: plan.plan, bad: false }),
            (error) => !gone && tellPlan({ text: error.message, bad: true }),
        ), 250);
        return () => { gone = true; clearTimeout(timer); };
    }, [character, chosen, budget]);
    const start = () => attempt(async () => {
        await ask(ofWorkspace(character, "sweeps"), { body: asked(chosen, budget) });
        tell(t("sweep.started"));
    });
    return html`<p class=${told.bad ? "note bad" : "note"} id="sl-sweep-plan" role="status">${told.text || t("loading")}</p>
        <div class="row">
            <label class="inline">${t("sweep.budget")} <input id="sl-sweep-budget" type="number" min="1" value=${budget} placeholder="–" onInput=${(/** @type {any} */ event) => setBudget(event.target.value)} /></label>
            <span class="grow"></span>
            <button type="button" class="primary" id="sl-sweep-start" disabled=${told.bad || !told.text || Boolean(job)} onClick=${start}>${t("sweep.start")}</button>
        </div>`;
}

/** One sweep's trials, the best first. @param {{sweep: any, character: string}} props */
function Result({ sweep, character }) {
    const settings = [...new Set(sweep.trials.flatMap((/** @type {any} */ trial) => Object.keys(trial.settings)))];
    const figures = [...new Set(sweep.trials.flatMap((/** @type {any} */ trial) => Object.keys(trial.figures)))];
    const worth = (/** @type {any} */ trial) => trial.figures.value ?? -Infinity;
    const trials = [...sweep.trials].sort((one, other) => worth(other) - worth(one));
    const mark = `${sweep.left}${sweep.trials.length}${sweep.seconds.sweep}`;
    return html`<details class="sweep" open><summary>${t("sweep.result", { name: sweep.sweep, n: trials.length })}${sweep.left ? ` · ${t("sweep.left", { n: sweep.left })}` : ""}</summary>
        ${sweep.preset && html`<p class="note"><strong>${t("sweep.preset", { name: sweep.preset.name })}</strong> ${sweep.preset.about}</p>
            <ul class="plain">${Object.entries(sweep.preset.why).map(([setting, why]) => html`<li><code>${setting}</code> ${why}</li>`)}</ul>`}
        <div class="scroll"><table class="trials">
            <thead><tr><th>${t("sweep.trial")}</th>${settings.map((each) => html`<th>${String(each).split(".")[1]}</th>`)}${figures.map((each) => html`<th>${each}</th>`)}<th>${t("sweep.time")}</th><th></th></tr></thead>
            <tbody>${trials.map((trial) => html`<tr key=${trial.trial} class=${trial.front ? "best" : ""} title=${trial.reason || trial.error}>
                <td>${trial.trial}</td>${settings.map((each) => html`<td>${String(trial.settings[/** @type {string} */ (each)] ?? "")}</td>`)}
                ${figures.map((each) => html`<td>${trial.figures[/** @type {string} */ (each)]?.toFixed(3) ?? ""}</td>`)}
                <td>${trial.seconds === null ? "" : clock(trial.seconds)}</td>
                <td>${trial.sheet ? html`<a href=${fileUrl(character, trial.sheet)} target="_blank" rel="noopener">${t("sheet")}</a>` : tOr(`sweep.${trial.state}`, trial.state)}</td>
            </tr>`)}</tbody>
        </table></div>
        ${["sheet", "front"].map((each) => sweep[each] && html`<img class="wide-picture" loading="lazy" src=${fileUrl(character, sweep[each], mark)} alt=${t(each === "sheet" ? "sweep.best" : "sweep.search")} />`)}
    </details>`;
}

export function Sweep() {
    const character = useWatch(name);
    const chosen = useWatch(tried);
    const job = useWatch(ownJob);
    const isSweep = job?.word === "sweep";
    const [results, setResults] = useState(/** @type {any[]} */ ([]));
    useEffect(() => {
        let gone = false;
        const load = () => ask(ofWorkspace(character, "sweeps")).then((all) => !gone && setResults(all), () => {});
        load();
        const timer = isSweep ? setInterval(load, 3000) : undefined; // trials come one by one
        return () => { gone = true; clearInterval(timer); };
    }, [character, job?.id, isSweep]);
    const any = Object.keys(chosen).length > 0;
    return html`<section id="sl-sweep" aria-label=${t("sweep")}>
        <h3>${t("sweep")}</h3>
        ${any ? html`<${Tried} /><p class="help">${t("sweep.values.help")}</p><${Plan} />` : html`<p class="dim">${t("sweep.empty")}</p>`}
        ${results.map((sweep) => html`<${Result} key=${sweep.sweep} sweep=${sweep} character=${character} />`)}
    </section>`;
}
