// A new character: its picture, its trigger, its class; and what will be made of them.
import { ask, base64 } from "./api.mjs";
import { html, useState, useWatch } from "./core.mjs";
import { DropZone } from "./drop-zone.mjs";
import { Equipment } from "./equipment.mjs";
import { Field } from "./field.mjs";
import { results } from "./host.mjs";
import { runOpen } from "./run-everything.mjs";
import { checkpoint, open } from "./state.mjs";
import { said } from "./sentences.mjs";
import { STEPS } from "./step-bar.mjs";
import { t } from "./words.mjs";

/** Where what is wrong is told: beside its field, or above the buttons. @param {string} message */
export function placeOf(message) {
    const [, setting] = message.match(/^character\.(trigger|class_token):/) ?? [];
    return setting ?? (/^picture\b|expected (a|the|another) picture|each side; take a larger/.test(message) ? "picture" : "all");
}

/** Pictures that other tabs of the host have made. @param {{found: {place: string, url: string}[], onFile: (file: Blob) => void}} props */
function FromHost({ found, onFile }) {
    /** @param {string} url */
    const take = async (url) => onFile(await (await fetch(url)).blob());
    return html`<div class="row">${found.map(({ place, url }) => html`<button type="button" key=${place} class="small" data-from=${place}
        onClick=${() => take(url)}>${t("new.from", { place })}</button>`)}</div>`;
}

/** The six steps in a sentence each. */
function Ways() {
    return html`<ol class="ways" aria-label=${t("ways")}>${STEPS.map((step, at) => html`<li key=${step}>
        <span class="step-number" aria-hidden="true">${at + 1}</span><strong>${t(`step.${step}`)}</strong><span class="help">${t(`way.${step}`)}</span>
    </li>`)}</ol>`;
}

export function NewCharacter() {
    const [file, setFile] = useState(/** @type {Blob | null} */ (null));
    const [trigger, setTrigger] = useState("");
    const [kind, setKind] = useState("girl");
    const [busy, setBusy] = useState(false);
    const [bad, setBad] = useState(/** @type {Record<string, string>} */ ({}));
    const asked = useWatch(checkpoint);
    // Other tabs draw while this one is away.
    const [found, look] = useState(results);
    const again = () => look(results());
    /** @param {(value: any) => void} set */
    const changing = (set) => (/** @type {any} */ value) => {
        set(value);
        setBad({});
    };
    /** @param {boolean} all */
    const start = async (all) => {
        const missing = { ...(file ? {} : { picture: t("new.no_picture") }), ...(trigger.trim() ? {} : { trigger: t("new.no_trigger") }) };
        setBad(missing);
        if (!file || !trigger.trim()) return;
        setBusy(true);
        try {
            const made = await ask("workspaces", { body: { picture: await base64(file), trigger: trigger.trim(), class_token: kind.trim() } });
            open(made.workspace);
            if (all) runOpen.value = true;
        } catch (error) {
            const { message } = /** @type {Error} */ (error);
            setBad({ [placeOf(message)]: said(message) });
        }
        setBusy(false);
    };
    const typed = (/** @type {(value: string) => void} */ set) => (/** @type {any} */ event) => changing(set)(event.target.value);
    return html`<form class="new" id="sl-new" onPointerEnter=${again} onfocusin=${again} onSubmit=${(/** @type {Event} */ event) => { event.preventDefault(); start(true); }}>
        <div>
            <${DropZone} label=${t("new.picture")} file=${file} onFile=${changing(setFile)} bad=${bad.picture} />
            <${FromHost} found=${found} onFile=${changing(setFile)} />
        </div>
        <div class="new-fields">
            <p class="teach">${t("new.teach")}</p>
            <${Field} id="sl-trigger" label=${t("new.trigger")} help=${t("new.trigger.help")} bad=${bad.trigger}>
                <input id="sl-trigger" value=${trigger} autocomplete="off" placeholder=${t("new.trigger.example")} aria-invalid=${bad.trigger ? "true" : null} aria-describedby="sl-trigger-help" onInput=${typed(setTrigger)} />
            <//>
            <${Field} id="sl-class" label=${t("new.class")} help=${t("new.class.help")} bad=${bad.class_token}>
                <input id="sl-class" value=${kind} autocomplete="off" aria-invalid=${bad.class_token ? "true" : null} aria-describedby="sl-class-help" onInput=${typed(setKind)} />
            <//>
            <div class="row">
                <button type="submit" class="primary big" id="sl-start" disabled=${busy}>${t("run.everything")}</button>
                <button type="button" class="big" id="sl-start-only" disabled=${busy} onClick=${() => start(false)}>${t("new.only")}</button>
            </div>
            ${bad.all && html`<p class="note bad" role="alert">${bad.all}</p>`}
            ${asked.checkpoint && html`<p class="dim">${t("new.checkpoint", { checkpoint: asked.checkpoint, preset: asked.name })}</p>`}
            <${Equipment} />
        </div>
        <${Ways} />
    </form>`;
}
