// Whether a word is free to be the trigger: what the checkpoint makes of it.
import { ask, fileUrl, ofWorkspace } from "./api.mjs";
import { html, useEffect, useState, useWatch } from "./core.mjs";
import { attempt, glance, jobs, name } from "./state.mjs";
import { said } from "./sentences.mjs";
import { t } from "./words.mjs";

export function TriggerCheck() {
    const seen = useWatch(glance);
    const character = useWatch(name);
    const all = useWatch(jobs);
    const [word, setWord] = useState("");
    const [told, tellResult] = useState(/** @type {any} */ (null));
    const checks = all.filter((job) => job.workspace === character && job.word === "trigger");
    const last = checks[checks.length - 1];
    useEffect(() => {
        if (last?.state === "done") ask(`jobs/${last.id}`).then((job) => tellResult(job.result), () => {});
    }, [last?.id, last?.state]);
    const check = () => attempt(() => ask(ofWorkspace(character, "trigger"), { body: { word: word.trim() } }));
    const isBusy = last?.state === "running" || last?.state === "waiting";
    /** @param {string} path absolute */
    const relative = (path) => path.slice(path.lastIndexOf(`${character}/`) + character.length + 1);
    return html`<details id="sl-trigger-check"><summary>${t("trigger")}</summary>
        <p class="help">${t("trigger.help")}</p>
        <div class="row">
            <label class="inline">${t("trigger.word")} <input id="sl-trigger-word" value=${word} placeholder=${seen?.settings["character.trigger"]} onInput=${(/** @type {any} */ event) => setWord(event.target.value)} /></label>
            <button type="button" class="small" id="sl-trigger-go" disabled=${isBusy} onClick=${check}>${isBusy ? t("running") : t("trigger.check")}</button>
        </div>
        ${told && html`<div id="sl-trigger-told"><p><strong>${told.word}</strong>: ${told.free ? t("trigger.free") : told.reasons.map(said).join("; ")}${t("stop")} ${t("trigger.tokens", { n: told.tokens })}</p>
            <p>${t("trigger.suggestions", { words: told.suggestions.join(", ") })}</p>
            <div class="gallery">${(told.pictures ?? []).map((/** @type {string} */ path) => html`<img key=${path} src=${fileUrl(character, relative(path))} alt=${told.word} loading="lazy" />`)}</div>
        </div>`}
    </details>`;
}
