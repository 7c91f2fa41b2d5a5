// The frame: workspace, job bar, six steps, and the step that is open.
import { classes, html, useEffect, useWatch } from "./core.mjs";
import { CheckpointNotice } from "./checkpoint-notice.mjs";
import { Captions } from "./captions.mjs";
import { Crops } from "./crops.mjs";
import { JobBar } from "./job-bar.mjs";
import { helpOpen, keys } from "./keys.mjs";
import { NewCharacter } from "./new-character.mjs";
import { Notes } from "./notes.mjs";
import { Regularization } from "./regularization.mjs";
import { RunEverything } from "./run-everything.mjs";
import { Source } from "./source.mjs";
import { StepBar } from "./step-bar.mjs";
import { Test } from "./test.mjs";
import { Train } from "./train.mjs";
import { WorkspacePicker } from "./workspace-picker.mjs";
import { code, t } from "./words.mjs";
import { checkpoint, connection, glance, name, program, step } from "./state.mjs";

const PANELS = {
    source: Source,
    crops: Crops,
    captions: Captions,
    regularization: Regularization,
    train: Train,
    test: Test,
};

export function Page() {
    const chosen = useWatch(name);
    const seen = useWatch(glance);
    const open = /** @type {keyof typeof PANELS} */ (useWatch(step));
    const link = useWatch(connection);
    const around = useWatch(program);
    const loaded = useWatch(checkpoint);
    useEffect(() => keys(), []);
    const Panel = PANELS[open];
    return html`
        <div class="frame" lang=${code()}>
            ${link === "lost" && html`<p class="lost" role="alert">${t("connection.lost")}</p>`}
            <${CheckpointNotice} />
            <header class="top">
                <${WorkspacePicker} />
                <p class="dim small-text grow" id="sl-host">${around.title}${loaded.checkpoint && ` · ${loaded.checkpoint}`}</p>
                <button type="button" class="icon" id="sl-keys" aria-label=${t("keys")} title=${t("keys")} onClick=${() => { helpOpen.value = true; }}>⌨</button>
                ${chosen && seen && html`<${RunEverything} />`}
            </header>
            <${JobBar} />
            ${!chosen && html`<${NewCharacter} />`}
            ${chosen && !seen && html`<p class="dim" role="status">${t("loading")}</p>`}
            ${chosen && seen && html`
                <${StepBar} />
                <section
                    class=${classes("panel", `panel-${open}`)}
                    role="tabpanel"
                    id="sl-panel"
                    aria-labelledby=${`sl-step-${open}`}
                    key=${chosen}
                >
                    <${Panel} key=${open} />
                </section>
            `}
            <${Notes} />
        </div>
    `;
}
