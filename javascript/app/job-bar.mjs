// The running job, the queue, the time left; pause, resume, cancel.
import { ask, fileUrl, thumbUrl } from "./api.mjs";
import { classes, html, useState, useWatch } from "./core.mjs";
import { said } from "./sentences.mjs";
import { clock, t } from "./words.mjs";
import { attempt, connection, jobs, open, workspaces } from "./state.mjs";

/** @param {{job: import("./types.d.ts").Job}} props */
function Title({ job }) {
    const word = t(`job.${job.word}`);
    const known = useWatch(workspaces);
    if (!known?.includes(job.workspace)) return html`${job.workspace}: ${word}`;
    return html`<button type="button" class="link" onClick=${() => open(job.workspace)}>${job.workspace}</button>: ${word}`;
}

/** @param {import("./types.d.ts").Job} job @param {string} verb */
function press(job, verb) {
    return () => attempt(() => ask(`jobs/${job.id}/${verb}`, { body: {} }));
}

/** @param {import("./types.d.ts").Job} job */
function figures(job) {
    const told = [t("job.so_far", { time: clock(job.seconds) })];
    if (job.eta !== null) told.push(t("job.left", { time: clock(job.eta) }));
    const loss = job.values.mean_loss ?? job.values.loss;
    if (loss !== undefined) told.push(t("job.loss", { loss: loss.toFixed(4) }));
    if (job.values.validation_loss !== undefined) told.push(validation(job.values));
    return told.join(" · ");
}

/** Validation, what it was at the start, and its bands of timesteps. @param {Record<string, number>} values */
export function validation(values) {
    const bands = Object.entries(values)
        .filter(([name]) => name.startsWith("validation_t"))
        .map(([name, value]) => `${name.slice("validation_".length)} ${value.toFixed(4)}`);
    // A training that was resumed may have begun without a validation.
    const start = values.validation_start;
    return [
        t("job.validation", { loss: values.validation_loss.toFixed(4) }),
        start === undefined ? "" : t("job.validation.start", { loss: start.toFixed(4) }),
        bands.length ? `(${bands.join(", ")})` : "",
    ].filter(Boolean).join(" ");
}

/** @param {{job: import("./types.d.ts").Job}} props */
function Running({ job }) {
    const percent = Math.round(100 * job.fraction);
    return html`
        <div class="job-line">
            <strong><${Title} job=${job} /></strong>
            <span class="dim">${job.stage ? t(`stage.${job.stage}`) : t("job.starting")}</span>
            <span class="grow"></span>
            <button type="button" class="small" data-job="pause" title=${t("job.pause.help")} onClick=${press(job, "pause")}>${t("job.pause")}</button>
            <button type="button" class="small danger" data-job="cancel" onClick=${press(job, "cancel")}>${t("cancel")}</button>
        </div>
        <div class="bar" role="progressbar" aria-label=${job.title} aria-valuenow=${percent} aria-valuemin="0" aria-valuemax="100">
            <div style=${{ width: `${percent}%` }}></div><span>${percent}%</span>
        </div>
        <div class="job-line one-line dim"><span class="cut" title=${said(job.message)}>${said(job.message)}</span><span class="grow"></span><span>${figures(job)}</span></div>
    `;
}

/** @param {{job: import("./types.d.ts").Job}} props */
function Ended({ job }) {
    return html`<div class="job-line">
        <span><${Title} job=${job} />: ${t(`job.${job.state}`, { time: clock(job.seconds) })}</span>
        <span class="grow"></span>
        ${job.state === "paused" && html`<button type="button" class="small primary" data-job="resume" onClick=${press(job, "resume")}>${t("job.resume")}</button>`}
    </div>
    ${job.state === "failed" && html`<p class="note bad" role="alert">${said(job.error ?? "")}</p>`}`;
}

export function JobBar() {
    const all = useWatch(jobs);
    const link = useWatch(connection);
    const [unfolded, unfold] = useState(false);
    const running = all.filter((job) => job.state === "running");
    const waiting = all.filter((job) => job.state === "waiting");
    const paused = all.filter((job) => job.state === "paused");
    const ended = all.filter((job) => ["done", "failed", "cancelled"].includes(job.state));
    const last = ended[ended.length - 1];
    const shown = running[0] ?? last;
    const state = (running[0] ?? waiting[0] ?? paused[0] ?? last)?.state ?? "none";
    const pictures = (shown?.pictures ?? []).slice(0, unfolded ? 24 : 8);
    return html`<section class="jobs" data-state=${state} aria-label=${t("jobs")}>
        ${running.map((job) => html`<${Running} key=${job.id} job=${job} />`)}
        ${paused.map((job) => html`<${Ended} key=${job.id} job=${job} />`)}
        ${!running.length && last && html`<${Ended} key=${last.id} job=${last} />`}
        ${!all.length && html`<p class="dim">${link === "open" ? t("job.none") : t("loading")}</p>`}
        ${waiting.length > 0 && html`<details open=${waiting.length < 3}>
            <summary>${t("job.queue", { n: waiting.length })}</summary>
            <ol class="queue">${waiting.map((job) => html`<li key=${job.id}>
                <${Title} job=${job} /> <button type="button" class="small" onClick=${press(job, "cancel")}>${t("cancel")}</button>
            </li>`)}</ol>
        </details>`}
        ${shown && (pictures.length > 0 || running.length > 0) && html`<div class=${classes("strip", unfolded && "unfolded")}>
            ${pictures.map((file) => html`<a key=${file} href=${fileUrl(shown.workspace, file)} target="_blank" rel="noopener">
                <img src=${thumbUrl(shown.workspace, file, 96, String(shown.done))} alt=${file.split("/").pop()} loading="lazy" width="64" height="64" />
            </a>`)}
            ${shown.pictures.length > 8 && html`<button type="button" class="small" aria-expanded=${String(unfolded)} onClick=${() => unfold(!unfolded)}>
                ${unfolded ? t("fewer") : t("more")}
            </button>`}
        </div>`}
    </section>`;
}
