// One setting: its field by its kind, its help, what it was before.
import { classes, html, useState } from "./core.mjs";
import { useDraft } from "./draft.mjs";
import { Field } from "./field.mjs";
import { said } from "./sentences.mjs";
import { TrySeveral } from "./sweep.mjs";
import { t, tOr } from "./words.mjs";
import { change, typing } from "./state.mjs";

/** A setting's value as its field shows it. @param {any} value */
export function asText(value) {
    if (!Array.isArray(value)) return String(value ?? "");
    return value.map((item) => (/[",]/.test(String(item)) ? `"${String(item).replaceAll('"', '""')}"` : String(item))).join(",");
}

/**
 * @param {{declared: import("./types.d.ts").Declaration, value: any, byHand: boolean, prefix?: string}} props
 *     prefix: of its id, where a step shows the setting twice
 */
export function SettingField({ declared, value, byHand, prefix = "sl" }) {
    const shown = asText(value);
    const [was, setWas] = useState("");
    const [bad, setBad] = useState("");
    const id = `${prefix}-${declared.name.replaceAll(".", "-")}`;
    const label = tOr(`setting.${declared.name}`, declared.label) + (declared.unit ? ` (${declared.unit})` : "");
    // A preset that somebody chose goes back to the one that the checkpoint asks for.
    const home = declared.name === "training.preset" ? "auto" : declared.default;
    const isDefault = shown === asText(home);
    /** @param {any} given */
    const save = async (given) => {
        setBad("");
        if (asText(given) === shown) return true;
        try {
            await change({ [declared.name]: given });
            setWas(shown);
            if (typing.value.setting === declared.name) typing.value = { setting: "", text: "" };
            return true;
        } catch (error) {
            setBad(said(/** @type {Error} */ (error).message));
            return false;
        }
    };
    const draft = useDraft(shown, save);
    const typed = { ...draft, onInput: (/** @type {any} */ event) => { draft.onInput(event); typing.value = { setting: declared.name, text: event.target.value }; } };
    const common = { id, name: declared.name, "aria-describedby": `${id}-help`, "aria-invalid": bad ? "true" : null };
    let field;
    if (declared.kind === "bool") {
        field = html`<input type="checkbox" ...${common} checked=${value} onChange=${(/** @type {any} */ event) => save(event.target.checked)} />`;
    } else if (declared.choices.length && !declared.kind.endsWith("s") && !declared.open) {
        field = html`<select ...${common} value=${shown} onChange=${(/** @type {any} */ event) => save(event.target.value)}>
            ${declared.choices.map((choice) => html`<option value=${choice} selected=${choice === shown}>${choice || "–"}</option>`)}
        </select>`;
    } else if (["int", "float"].includes(declared.kind)) {
        field = html`<input type="number" ...${common} ...${typed} min=${declared.low} max=${declared.high} step=${declared.kind === "int" ? 1 : "any"} />`;
    } else if (declared.kind === "str" && shown.length > 60) {
        field = html`<textarea ...${common} rows="3" ...${typed}></textarea>`;
    } else {
        field = html`<input type="text" ...${common} ...${typed} list=${declared.choices.length ? `${id}-list` : null} />
            ${declared.choices.length > 0 && html`<datalist id=${`${id}-list`}>${declared.choices.map((choice) => html`<option value=${choice}></option>`)}</datalist>`}`;
    }
    const extra = html`
        ${byHand && html`<span class="badge" title=${t("setting.by_hand.help")}>${t("setting.by_hand")}</span>`}
        ${was !== "" && was !== shown && html`<button type="button" class="link small-text" onClick=${() => { save(was); setWas(""); }}>${t("setting.was", { was })}</button>`}
        ${!isDefault && byHand && html`<button type="button" class="link small-text" title=${asText(home)} onClick=${() => save(home)}>${t("setting.default")}</button>`}
        <${TrySeveral} declared=${declared} value=${value} />
    `;
    return html`<div class=${classes("setting", declared.kind === "bool" && "is-check")} data-setting=${declared.name}>
        <${Field} id=${id} label=${label} help=${tOr(`setting.${declared.name}.help`, declared.help)} extra=${extra}>${field}<//>
        ${bad && html`<p class="note bad" role="alert">${bad}</p>`}
    </div>`;
}
