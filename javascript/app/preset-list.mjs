// The presets of the training: what each is for, what it sets and why; one is taken by a click.
import { ask } from "./api.mjs";
import { classes, html, useEffect, useState, useWatch } from "./core.mjs";
import { said } from "./sentences.mjs";
import { asText } from "./setting-field.mjs";
import { attempt, change, declarations, glance } from "./state.mjs";
import { t, tOr } from "./words.mjs";

/** @typedef {{name: string, about: string, values: {setting: string, value: unknown, why: string}[]}} Preset */

export function PresetList() {
    const seen = useWatch(glance);
    const labels = new Map(useWatch(declarations).map((each) => [each.name, each.label]));
    const [listed, list] = useState(/** @type {Preset[]} */ ([]));
    const [shown, show] = useState("");
    useEffect(() => { ask("presets").then(list, () => {}); }, []);
    if (!seen || !listed.length) return null;
    const now = seen.training_preset.name;
    const looked = listed.find((each) => each.name === (shown || now)) ?? listed[0];
    return html`<details id="sl-presets"><summary>${t("presets")}</summary>
        <div class="chips" role="group" aria-label=${t("presets")}>${listed.map((each) => html`<button type="button" key=${each.name} class=${classes("chip", each === looked && "is-chosen")}
            aria-pressed=${String(each === looked)} data-training-preset=${each.name} onClick=${() => show(each.name)}>${each.name}</button>`)}</div>
        <p>${said(looked.about)} ${looked.name === now
            ? html`<span class="badge">${t("presets.now")}</span>`
            : html`<button type="button" class="small" id="sl-preset-take" onClick=${() => attempt(() => change({ "training.preset": looked.name }))}>${t("presets.take")}</button>`}</p>
        <dl class="reasons">${looked.values.map((each) => html`<div key=${each.setting}>
            <dt>${tOr(`setting.${each.setting}`, labels.get(each.setting) ?? each.setting)}: <strong>${asText(each.value)}</strong></dt><dd class="dim">${said(each.why)}</dd>
        </div>`)}</dl>
    </details>`;
}
