// A new character: its picture, its trigger, its class.
import { ask, base64 } from "./api.mjs";
import { html, useState, useWatch } from "./core.mjs";
import { DropZone } from "./drop-zone.mjs";
import { Equipment } from "./equipment.mjs";
import { Field } from "./field.mjs";
import { runOpen } from "./run-everything.mjs";
import { attempt, checkpoint, open } from "./state.mjs";
import { t } from "./words.mjs";

export function NewCharacter() {
    const [file, setFile] = useState(/** @type {Blob | null} */ (null));
    const [trigger, setTrigger] = useState("");
    const [kind, setKind] = useState("girl");
    const [busy, setBusy] = useState(false);
    const [missing, setMissing] = useState("");
    const asked = useWatch(checkpoint);
    /** @param {boolean} all */
    const start = async (all) => {
        if (!file || !trigger.trim()) return setMissing(t(file ? "new.no_trigger" : "new.no_picture"));
        setMissing("");
        setBusy(true);
        await attempt(async () => {
            const made = await ask("workspaces", { body: { picture: await base64(file), trigger: trigger.trim(), class_token: kind.trim() } });
            open(made.workspace);
            if (all) runOpen.value = true;
        });
        setBusy(false);
    };
    return html`<form class="new" id="sl-new" onSubmit=${(/** @type {Event} */ event) => { event.preventDefault(); start(true); }}>
        <${DropZone} label=${t("new.picture")} file=${file} onFile=${setFile} />
        <div class="new-fields">
            <p class="teach">${t("new.teach")}</p>
            <${Field} id="sl-trigger" label=${t("new.trigger")} help=${t("new.trigger.help")}>
                <input id="sl-trigger" value=${trigger} autocomplete="off" onInput=${(/** @type {any} */ event) => setTrigger(event.target.value)} />
            <//>
            <${Field} id="sl-class" label=${t("new.class")} help=${t("new.class.help")}>
                <input id="sl-class" value=${kind} autocomplete="off" onInput=${(/** @type {any} */ event) => setKind(event.target.value)} />
            <//>
            ${missing && html`<p class="note bad" role="alert">${missing}</p>`}
            <div class="row">
                <button type="submit" class="primary big" id="sl-start" disabled=${busy}>${t("run.everything")}</button>
                <button type="button" class="big" id="sl-start-only" disabled=${busy} onClick=${() => start(false)}>${t("new.only")}</button>
            </div>
            ${asked.checkpoint && html`<p class="dim">${t("new.checkpoint", { checkpoint: asked.checkpoint, preset: asked.name })}</p>`}
            <${Equipment} />
        </div>
    </form>`;
}
