// Step 4: pictures of the class: what was kept, what was rejected and why; the template.
import { ask, fileUrl, ofWorkspace, thumbUrl } from "./api.mjs";
import { classes, html, useState, useWatch } from "./core.mjs";
import { said } from "./sentences.mjs";
import { SettingsForm } from "./settings-form.mjs";
import { StepHead } from "./stale-note.mjs";
import { attempt, dataset, glance, jobs, name, reload, tell } from "./state.mjs";
import { Template } from "./template.mjs";
import { t } from "./words.mjs";

const FIRST = 120; // pictures that are shown at once

export function Regularization() {
    const seen = useWatch(glance);
    const data = useWatch(dataset);
    const character = useWatch(name);
    const all = useWatch(jobs);
    const [shown, show] = useState("kept");
    const [most, setMost] = useState(FIRST);
    if (!seen) return null;
    const pictures = data?.regularization ?? [];
    const kept = pictures.filter((each) => each.kept);
    const rejected = pictures.filter((each) => !each.kept);
    const listed = shown === "kept" ? kept : rejected;
    const asked = Number(seen.settings["regularization.count"]);
    /** @param {typeof pictures[0]} picture */
    const review = async (picture) => {
        const move = async (/** @type {boolean} */ reject) => {
            await ask(ofWorkspace(character, "review"), { body: { take_back: reject ? [] : [picture.name], reject: reject ? [picture.name] : [] } });
            await reload();
        };
        const done = await attempt(() => move(picture.kept));
        if (done) tell(t(picture.kept ? "reg.put_aside" : "reg.taken_back", { name: picture.name }), () => attempt(() => move(!picture.kept)));
    };
    const busy = all.some((job) => job.workspace === character && job.word === "redraw" && ["running", "waiting"].includes(job.state));
    /** @param {string} which */
    const redraw = (which) => attempt(() => ask(ofWorkspace(character, `regularization/${which}/redraw`), { body: {} }));
    const notes = data?.notes.regularize ?? [];
    return html`
        <${StepHead} step="regularization" stage="regularize" teach="reg.teach" />
        <${Template} />
        ${pictures.length > 0 && html`
            <label class="inline">${t("reg.meter", { kept: kept.length, asked })} <meter min="0" max=${Math.max(1, asked)} value=${Math.min(kept.length, asked)}></meter></label>
            <div class="row" role="group" aria-label=${t("reg.show")}>
                ${["kept", "rejected"].map((each) => html`<button type="button" key=${each} class=${classes("small", shown === each && "is-chosen")} aria-pressed=${String(shown === each)} onClick=${() => show(each)}>
                    ${t(`reg.${each}`, { n: each === "kept" ? kept.length : rejected.length })}</button>`)}
            </div>
            <ul class="reg" id="sl-reg">
                ${listed.slice(0, most).map((each) => html`<li key=${each.name} data-reg=${each.name} class=${each.kept ? "" : "is-rejected"}>
                    <a href=${fileUrl(character, each.file)} target="_blank" rel="noopener"><img src=${thumbUrl(character, each.file, 256, seen.revision.regularization)} alt=${each.prompt} title=${each.prompt} loading="lazy" width="128" height="128" /></a>
                    <div class="row"><button type="button" class="small" data-review=${each.name} onClick=${() => review(each)}>${t(each.kept ? "reg.reject" : "reg.take_back")}</button>
                        <button type="button" class="small" data-redraw=${each.name} disabled=${busy} title=${t("reg.redraw.help")} onClick=${() => redraw(each.name)}>${t("reg.redraw")}</button></div>
                    ${each.reasons.length > 0 && html`<p class="small-text">${each.reasons.map(said).join("; ")} <span class="dim">(${t(`reg.by.${each.by}`)})</span></p>`}
                </li>`)}
            </ul>
            ${listed.length > most && html`<button type="button" class="small" onClick=${() => setMost(most + FIRST)}>${t("more")}</button>`}
            ${!listed.length && html`<p class="dim">${t("reg.none")}</p>`}
        `}
        ${notes.length > 0 && html`<ul class="plain">${notes.map((line) => html`<li>${said(line)}</li>`)}</ul>`}
        <${SettingsForm} sections=${["regularization", "quality"]} />
    `;
}
