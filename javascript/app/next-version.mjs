// A picture that is kept, and the next version of the data set that it goes into.
import { ask, base64, fileUrl, ofWorkspace, thumbUrl } from "./api.mjs";
import { html, useState, useWatch } from "./core.mjs";
import { DropZone } from "./drop-zone.mjs";
import { attempt, glance, name, reload, tell } from "./state.mjs";
import { t } from "./words.mjs";

/** @param {{picture: string}} props the chosen result, "" for none */
export function NextVersion({ picture }) {
    const seen = useWatch(glance);
    const character = useWatch(name);
    const [other, setOther] = useState(/** @type {Blob | null} */ (null));
    const [repeats, setRepeats] = useState(0);
    const [last, setLast] = useState(false);
    if (!seen) return null;
    const start = last ? "last" : "zero";
    /** Keep the picture; where it lies now. @returns {Promise<string>} */
    const keep = async () => {
        const body = other ? { pictures: [], picture: await base64(other) } : { pictures: [picture] };
        const { accepted } = await ask(ofWorkspace(character, "accepted"), { body });
        await reload();
        return accepted[0];
    };
    const again = () => attempt(async () => {
        const kept = await keep();
        await ask(ofWorkspace(character, "versions"), { body: { picture: kept, repeats, start } });
        tell(t("version.queued", { name: seen.next_version }));
    });
    const judged = () => attempt(async () => {
        await ask(ofWorkspace(character, "versions/judged"), { body: { start } });
        tell(t("version.judged", { name: seen.next_version }));
    });
    const none = !picture && !other;
    return html`<details class="version" id="sl-version"><summary>${t("version")}</summary>
        <p class="help">${t("version.help", { name: seen.next_version })}</p>
        <${DropZone} label=${t("version.other")} file=${other} onFile=${setOther} small=${true} />
        <div class="row">
            <label class="inline">${t("version.repeats")} <input type="number" min="0" value=${repeats} onInput=${(/** @type {any} */ event) => setRepeats(Number(event.target.value) || 0)} /></label>
            <label class="inline"><input type="checkbox" checked=${last} onChange=${(/** @type {any} */ event) => setLast(event.target.checked)} /> ${t("version.last")}</label>
        </div>
        <div class="row">
            <button type="button" class="small" id="sl-keep" disabled=${none} onClick=${() => attempt(async () => tell(t("version.kept", { file: await keep() })))}>${t("version.keep")}</button>
            <button type="button" class="small" id="sl-again" disabled=${none} onClick=${again}>${t("version.again")}</button>
            <button type="button" class="small" id="sl-judged" onClick=${judged}>${t("version.judge")}</button>
        </div>
        ${seen.accepted.length > 0 && html`<div class="strip" aria-label=${t("version.accepted")}>${seen.accepted.map((each) => html`<a key=${each} href=${fileUrl(character, each)} target="_blank" rel="noopener"><img src=${thumbUrl(character, each, 96)} alt=${each.split("/").pop()} width="64" height="64" loading="lazy" /></a>`)}</div>`}
    </details>`;
}
