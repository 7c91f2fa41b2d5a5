// Step 3: each picture beside its tags; traits; the same change in all captions; the trigger.
import { ask, ofWorkspace } from "./api.mjs";
import { BulkEdit } from "./bulk-edit.mjs";
import { CaptionCard } from "./caption-card.mjs";
import { html, useEffect, useState, useWatch } from "./core.mjs";
import { SettingsForm } from "./settings-form.mjs";
import { StepHead } from "./stale-note.mjs";
import { attempt, dataset, glance, name, reload, tell } from "./state.mjs";
import { Traits } from "./traits.mjs";
import { TriggerCheck } from "./trigger-check.mjs";
import { inTurn } from "./turns.mjs";
import { t } from "./words.mjs";

/** Take the last change of captions back. */
export async function undoCaptions() {
    const character = name.value;
    await inTurn(() => attempt(async () => {
        await ask(ofWorkspace(character, "tags"), { body: { undo: true } });
        await reload();
    }));
}

export function Captions() {
    const seen = useWatch(glance);
    const data = useWatch(dataset);
    const character = useWatch(name);
    const [known, setKnown] = useState(/** @type {{tags: string[], categories: Record<string, string>, left: Record<string, string[]>}} */ ({ tags: [], categories: {}, left: {} }));
    useEffect(() => {
        ask(ofWorkspace(character, "tags")).then(setKnown, () => {});
    }, [character, seen?.revision.captions]);
    if (!seen) return null;
    const captions = Object.entries(data?.captions ?? {});
    /** @param {string} crop @param {string} text */
    const write = (crop, text) => inTurn(() => attempt(async () => {
        await ask(ofWorkspace(character, `captions/${encodeURIComponent(crop)}`), { method: "PUT", body: { text } });
        await reload();
        tell(t("captions.saved", { name: crop.replaceAll("_", " ") }), undoCaptions);
    }));
    const frequent = Object.entries(data?.tags ?? {});
    return html`
        <${StepHead} step="captions" stage="caption" teach="captions.teach" />
        ${!captions.length && html`<p class="dim">${t("captions.empty")}</p>`}
        ${data && captions.length > 0 && html`
            <${BulkEdit} data=${data} known=${known} />
            <div class="cards" id="sl-captions">
                ${captions.map(([crop, caption]) => html`<${CaptionCard} key=${crop} name=${crop} caption=${caption} limit=${data.limit}
                    file=${data.crops.find((each) => each.name === crop)?.file ?? ""} left=${known.left[crop] ?? []} known=${known} frequent=${data.tags} onWrite=${write} />`)}
            </div>
            <div class="split even">
                <${Traits} key=${JSON.stringify(data.traits)} traits=${data.traits} />
                <details open><summary>${t("captions.frequency", { n: frequent.length })}</summary>
                    <p class="chips">${frequent.map(([tag, number]) => html`<span class="chip" data-category=${known.categories[tag] ?? "other"}>${tag} <span class="dim">${number}</span></span>`)}</p>
                </details>
            </div>
            ${data.unreadable.map((line) => html`<p class="note warn">${line}</p>`)}
        `}
        <${TriggerCheck} />
        <${SettingsForm} sections=${["caption"]} />
    `;
}
