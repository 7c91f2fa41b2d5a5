// Step 6: which LoRA to take, the sheet that says so, the inpainting bench, further files.
import { html, useWatch } from "./core.mjs";
import { Bench } from "./bench.mjs";
import { LoraFiles } from "./lora-files.mjs";
import { Recommendation } from "./recommendation.mjs";
import { SettingsForm } from "./settings-form.mjs";
import { Sheet } from "./sheet.mjs";
import { StepHead } from "./stale-note.mjs";
import { glance } from "./state.mjs";
import { t } from "./words.mjs";

export function Test() {
    const seen = useWatch(glance);
    if (!seen) return null;
    const trained = Object.keys(seen.loras).length > 0;
    return html`
        ${trained && html`<${Recommendation} />`}
        <${StepHead} step="test" stage="plot" teach="test.teach" />
        <${Sheet} />
        ${trained && html`<${Bench} key=${seen.workspace} /><${LoraFiles} />`}
        <${SettingsForm} sections=${["plot", "judge", "quality"]} heading=${t("settings.plot")} />
        <${SettingsForm} sections=${["inpaint", "loopback"]} heading=${t("settings.inpaint")} />
    `;
}
