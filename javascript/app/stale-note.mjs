// What a step waits for, why it is stale, and the button that does it.
import { html, useWatch } from "./core.mjs";
import { RunButton } from "./run-button.mjs";
import { reasons } from "./step-bar.mjs";
import { t } from "./words.mjs";
import { declarations, glance } from "./state.mjs";

/** @param {{step: string, stage: string, teach: string}} props teach: the key of what it is for */
export function StepHead({ step, stage, teach }) {
    const seen = useWatch(glance)?.steps.find((each) => each.name === step);
    useWatch(declarations);
    if (!seen) return null;
    return html`
        <div class="step-head">
            <p class="teach">${t(teach)}</p>
            <${RunButton} stage=${stage} blocked=${seen.state === "empty"} again=${seen.stages[stage] === "done"} />
        </div>
        ${seen.state === "empty" && html`<p class="note">${t("state.empty.help", { step: t(`step.${seen.needs}`) })}</p>`}
        ${seen.state === "stale" && html`<div class="note warn" role="status">
            ${reasons(seen).map((line) => html`<p>${line}</p>`)}
        </div>`}
        ${seen.state === "begun" && html`<p class="note">${t("state.begun.help")}</p>`}
        ${seen.state === "skipped" && html`<p class="note">${t("state.skipped.help")}</p>`}
    `;
}
