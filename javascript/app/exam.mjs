// The exam: parts of the picture redrawn with the LoRA and without, beside what was there.
import { ask, fileUrl, ofWorkspace } from "./api.mjs";
import { html, useWatch } from "./core.mjs";
import { attempt, glance, jobs, name } from "./state.mjs";
import { t } from "./words.mjs";

export function Exam() {
    const seen = useWatch(glance);
    const character = useWatch(name);
    const all = useWatch(jobs);
    if (!seen) return null;
    const busy = all.some((job) => job.workspace === character && job.word === "exam" && ["running", "waiting"].includes(job.state));
    const start = () => attempt(() => ask(ofWorkspace(character, "exam"), { body: {} }));
    const url = seen.exam && fileUrl(character, seen.exam, seen.revision.plots);
    return html`<details id="sl-exam" open=${Boolean(url)}><summary>${t("exam")}</summary>
        <p class="help">${t("exam.help")}</p>
        <button type="button" class="small" id="sl-exam-start" disabled=${busy} onClick=${start}>${t(busy ? "running" : "exam.start")}</button>
        ${url && html`<a href=${url} target="_blank" rel="noopener"><img class="wide-picture" src=${url} alt=${t("exam.alt")} loading="lazy" /></a>`}
    </details>`;
}
