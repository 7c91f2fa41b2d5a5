// Runs one stage; with the second button also over edits by hand.
import { html, useState, useWatch } from "./core.mjs";
import { t } from "./words.mjs";
import { attempt, ownJob, run } from "./state.mjs";
import { Confirm } from "./dialog.mjs";

/** @param {{stage: string, blocked?: boolean, again?: boolean, more?: () => Promise<Record<string, unknown>>}} props */
export function RunButton({ stage, blocked = false, again = false, more }) {
    const [asking, ask] = useState(false);
    const job = useWatch(ownJob);
    const isRunning = job?.word === stage;
    const start = (/** @type {boolean} */ force) =>
        attempt(async () => run(stage, { ...(force ? { force } : {}), ...(more ? await more() : {}) }));
    return html`<span class="row">
        <button type="button" class="primary" data-run=${stage} disabled=${blocked || isRunning} onClick=${() => start(false)}>
            ${isRunning ? t("running") : t(`run.${stage}`)}
        </button>
        ${again && html`<button type="button" class="small" disabled=${isRunning} onClick=${() => ask(true)}>${t("run.again")}</button>`}
        ${asking && html`<${Confirm}
            title=${t("run.again")}
            text=${t("run.again.help")}
            yes=${t("run.again")}
            onYes=${() => start(true)}
            onClose=${() => ask(false)}
        />`}
    </span>`;
}
