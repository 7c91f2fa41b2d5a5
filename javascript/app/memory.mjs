// The memory that the training would need, of what the computer has, and what will be done about it.
import { ask, ofWorkspace } from "./api.mjs";
import { html, useEffect, useState, useWatch } from "./core.mjs";
import { glance, name } from "./state.mjs";
import { said } from "./sentences.mjs";
import { t } from "./words.mjs";

/** Bytes in words: 1.5 GB. @param {number} bytes */
export function inWords(bytes) {
    return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.max(1, Math.round(bytes / 1e6))} MB`;
}

export function Memory() {
    const seen = useWatch(glance);
    const character = useWatch(name);
    const [told, setTold] = useState(/** @type {any} */ (null));
    useEffect(() => {
        let gone = false;
        ask(ofWorkspace(character, "budget")).then((answer) => !gone && setTold(answer), () => !gone && setTold(null));
        return () => { gone = true; };
    }, [character, seen?.revision.settings]);
    if (!told) return null;
    const lean = told.rows.find((/** @type {any} */ row) => row.gradient_checkpointing);
    const plain = told.rows.find((/** @type {any} */ row) => !row.gradient_checkpointing) ?? lean;
    const bad = told.rows.every((/** @type {any} */ row) => row.fits === false);
    const values = { peak: inWords(plain.peak), lean: inWords((lean ?? plain).peak), computer: said(told.computer), has: told.bytes ? inWords(told.bytes) : "?" };
    return html`<p class=${bad ? "note warn" : ""} id="sl-memory"><strong>${t("forecast.memory")}</strong> ${t("memory", values)}; <span class=${bad ? "" : "dim"}>${said(told.advice)}${t("stop")}</span></p>`;
}
