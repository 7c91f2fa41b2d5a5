// One setting: its field by its kind, its help, what it was before.
import { classes, html, useEffect, useState } from "./core.mjs";
import { Field } from "./field.mjs";
import { TrySeveral } from "./sweep.mjs";
import { t, tOr } from "./words.mjs";
import { attempt, change } from "./state.mjs";

/** A setting's value as its field shows it. @param {any} value */
export function asText(value) {
    if (!Array.isArray(value)) return String(value ?? "");
    return value.map((item) => (/[",]/.test(String(item)) ? `"${String(item).replaceAll('"', '""')}"` : String(item))).join(",");
}

/** @param {{declared: import("./types.d.ts").Declaration, value: any, byHand: boolean}} props */
export function SettingField({ declared, value, byHand }) {
    const shown = asText(value);
    const [typed, setTyped] = useState(shown);
    const [was, setWas] = useState("");
    const [bad, setBad] = useState("");
    useEffect(() => setTyped(shown), [shown]);
    const id = `sl-${declared.name.replaceAll(".", "-")}`;
    const label = tOr(`setting.${declared.name}`, declared.label) + (declared.unit ? ` (${declared.unit})` : "");
    const isDefault = shown === asText(declared.default);
    /** @param {any} given */
    const save = async (given) => {
        if (asText(given) === shown) return setBad("");
        try {
            await change({ [declared.name]: given });
            setWas(shown);
            setBad("");
        } catch (error) {
            setBad(/** @type {Error} */ (error).message);
        }
    };
    /** @param {any} event */
    const typedIn = (event) => setTyped(event.target.value);
    const common = { id, name: declared.name, "aria-describedby": `${id}-help`, "aria-invalid": bad ? "true" : null };
    let field;
    if (declared.kind === "bool") {
        field = html`<input type="checkbox" ...${common} checked=${value} onChange=${(/** @type {any} */ event) => save(event.target.checked)} />`;
    } else if (declared.choices.length && !declared.kind.endsWith("s") && !declared.open) {
        field = html`<select ...${common} value=${shown} onChange=${(/** @type {any} */ event) => save(event.target.value)}>
            ${declared.choices.map((choice) => html`<option value=${choice} selected=${choice === shown}>${choice || "–"}</option>`)}
        </select>`;
    } else if (["int", "float"].includes(declared.kind)) {
        field = html`<input type="number" ...${common} value=${typed} min=${declared.low} max=${declared.high} step=${declared.kind === "int" ? 1 : "any"}
            onInput=${typedIn} onChange=${(/** @type {any} */ event) => save(event.target.value)} />`;
    } else if (declared.kind === "str" && shown.length > 60) {
        field = html`<textarea ...${common} rows="3" value=${typed} onInput=${typedIn} onChange=${(/** @type {any} */ event) => save(event.target.value)}></textarea>`;
    } else {
        field = html`<input type="text" ...${common} value=${typed} list=${declared.choices.length ? `${id}-list` : null}
            onInput=${typedIn} onChange=${(/** @type {any} */ event) => save(event.target.value)} />
            ${declared.choices.length > 0 && html`<datalist id=${`${id}-list`}>${declared.choices.map((choice) => html`<option value=${choice}></option>`)}</datalist>`}`;
    }
    const extra = html`
        ${byHand && html`<span class="badge" title=${t("setting.by_hand.help")}>${t("setting.by_hand")}</span>`}
        ${was !== "" && was !== shown && html`<button type="button" class="link small-text" onClick=${() => { save(was); setWas(""); }}>${t("setting.was", { was })}</button>`}
        ${!isDefault && byHand && html`<button type="button" class="link small-text" title=${asText(declared.default)} onClick=${() => attempt(() => save(declared.default))}>${t("setting.default")}</button>`}
        <${TrySeveral} declared=${declared} value=${value} />
    `;
    return html`<div class=${classes("setting", declared.kind === "bool" && "is-check")} data-setting=${declared.name}>
        <${Field} id=${id} label=${label} help=${declared.help} extra=${extra}>${field}<//>
        ${bad && html`<p class="note bad" role="alert">${bad}</p>`}
    </div>`;
}
