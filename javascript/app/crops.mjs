// Step 2: the close-ups as boxes over the picture, and what each is worth.
import { ask, fileUrl, ofWorkspace, thumbUrl } from "./api.mjs";
import { wanted, figures } from "./boxes.mjs";
import { classes, html, useMemo, useRef, useState, useWatch } from "./core.mjs";
import { CropCanvas } from "./crop-canvas.mjs";
import { CropName } from "./crop-name.mjs";
import { History } from "./history.mjs";
import { isTyping } from "./keys.mjs";
import { said } from "./sentences.mjs";
import { SettingsForm } from "./settings-form.mjs";
import { StepHead } from "./stale-note.mjs";
import { attempt, change, dataset, glance, name, reload, shapes as shapesOfPicture } from "./state.mjs";
import { t } from "./words.mjs";

export const COLOURS = ["#d62828", "#1d6fd1", "#1a936f", "#b5179e", "#e07a00", "#5f0fd1", "#007f8c", "#7f5539"];
/** @typedef {import("./boxes.mjs").Box} Box */
/** @typedef {{name: string, before: Box | null, after: Box | null, to?: string, was?: string, made?: string}} Edit to: another name; was, made: the settings of crops before and after */

/** A name that no crop has. @param {Map<string, Box>} boxes */
function freeName(boxes) {
    let number = 1;
    while (boxes.has(`own_${number}`)) number += 1;
    return `own_${number}`;
}

export function Crops() {
    const seen = useWatch(glance);
    const data = useWatch(dataset);
    const character = useWatch(name);
    const [draft, setDraft] = useState(/** @type {Map<string, Box> | null} */ (null));
    const [wantedName, choose] = useState("");
    const [snap, setSnap] = useState(true);
    const [coverage, setCoverage] = useState(false);
    const shapes = useWatch(shapesOfPicture);
    const [, draw] = useState(0);
    const history = useMemo(() => /** @type {History<Edit>} */ (new History(() => draw((count) => count + 1))), [character]);
    const box = useRef(/** @type {HTMLElement | null} */ (null));
    const naming = useRef(false);
    const named = useRef({ from: "", to: "" });
    const turns = useRef(/** @type {Promise<unknown>} */ (Promise.resolve()));
    const settings = seen?.settings ?? {};
    const saved = useMemo(
        () => wanted(data?.crops ?? [], settings["crop.boxes"] ?? [], settings["crop.views"] ?? []),
        [data, settings["crop.boxes"], settings["crop.views"]],
    );
    const boxes = draft ?? saved;
    // Between a new name and its arrival the crop stays chosen, so that its field keeps the focus.
    const renamed = named.current.from === wantedName ? named.current.to : "";
    const chosen = [wantedName, renamed].find((each) => boxes.has(each)) ?? "";

    /** One after the other, in the order in which they were asked for. @param {() => Promise<unknown>} work */
    const inTurn = (work) => {
        turns.current = turns.current.then(work).then(() => setDraft(null));
    };
    /** Write one box, or leave a crop out. @param {string} which @param {Box | null} to */
    const write = (which, to) =>
        attempt(async () => {
            const path = ofWorkspace(character, `crops/${encodeURIComponent(which)}`);
            await ask(path, to ? { method: "PUT", body: { box: to } } : { method: "DELETE" });
            await reload();
        });
    const ofCrops = () => {
        const now = glance.value?.settings ?? {};
        return JSON.stringify({ "crop.boxes": now["crop.boxes"] ?? [], "crop.views": now["crop.views"] ?? [] });
    };
    /** @param {string} which @param {string} to @returns {Promise<string>} the name that it got */
    const call = async (which, to) => {
        const told = await ask(ofWorkspace(character, `crops/${encodeURIComponent(which)}/rename`), { body: { name: to } });
        named.current = { from: which, to: told.name };
        return told.name;
    };
    /** @param {Edit} one */
    const make = async (one) => {
        one.was = ofCrops();
        const done = one.to ? await attempt(() => rename(one)) : await write(one.name, one.after);
        one.made = ofCrops();
        return done;
    };
    /** @param {Edit} one */
    const rename = async (one) => {
        one.to = await call(one.name, one.to ?? "");
        await reload();
        choose(one.to);
    };
    /** What the program itself proposed is no box by hand again, unless another edit came between. @param {Edit} one */
    const takeBack = async (one) => {
        const isLast = one.made === ofCrops();
        const restore = () => change(JSON.parse(one.was ?? "{}"));
        if (one.to) {
            const name_ = one.to;
            return attempt(async () => {
                await call(name_, one.name);
                await (isLast ? restore() : reload());
                choose(one.name);
            });
        }
        return one.before && one.after && isLast ? attempt(restore) : write(one.name, one.before);
    };
    /** Another name; what is wrong with it, or "". @param {string} which @param {string} to @returns {Promise<string>} */
    const nameAnew = (which, to) => new Promise((resolve) => {
        const one = /** @type {Edit} */ ({ name: which, before: null, after: null, to });
        naming.current = true;
        inTurn(async () => {
            try {
                one.was = ofCrops();
                await rename(one);
                one.made = ofCrops();
                history.add(one);
                resolve("");
            } catch (error) {
                resolve(said(/** @type {Error} */ (error).message));
            } finally {
                naming.current = false;
            }
        });
    });
    /** @param {string} which @param {Box | null} to @param {Box | null} [from] */
    const edit = (which, to, from = saved.get(which) ?? null) => {
        if (String(from) === String(to)) return setDraft(null);
        if (naming.current) return; // it would go to the old name
        const next = new Map(saved);
        if (to) next.set(which, to);
        else next.delete(which);
        setDraft(next);
        const done = { name: which, before: from, after: to };
        history.add(done);
        inTurn(async () => {
            if (!(await make(done))) history.drop(done);
        });
    };
    /** @param {boolean} back */
    const step = (back) => {
        const one = back ? history.undo() : history.redo();
        if (one) inTurn(() => (back ? takeBack(one) : make(one)));
    };
    /** @param {KeyboardEvent} event */
    const pressed = (event) => {
        if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !isTyping(event)) {
            event.preventDefault();
            step(!event.shiftKey);
        } else if (event.key === "Delete" && chosen && !isTyping(event)) {
            event.preventDefault();
            edit(chosen, null);
        } else if (event.key === "F2" && chosen) {
            event.preventDefault();
            /** @type {HTMLInputElement | null | undefined} */ (box.current?.querySelector("#sl-crop-name"))?.select();
        }
    };
    const names = [...boxes.keys()];
    const notes = [...(data?.notes.crop ?? []), ...(data?.symmetry ? [data.symmetry.sentence] : []), ...(data?.notes.train ?? [])];
    return html`<div ref=${box} onKeyDown=${pressed}>
        <${StepHead} step="crops" stage="crop" teach="crops.teach" />
        ${seen?.prepared && html`
            <div class="row tools" role="toolbar" aria-label=${t("crops.tools")}>
                <button type="button" class="small" onClick=${() => { const made = freeName(boxes); choose(made); edit(made, middle(shapes.size)); }} id="sl-crop-add">${t("crops.add")}</button>
                <button type="button" class="small" disabled=${!chosen} onClick=${() => edit(chosen, null)} id="sl-crop-leave">${t("crops.leave_out")}</button>
                <button type="button" class="small" disabled=${!history.past.length} onClick=${() => step(true)} id="sl-crop-undo">${t("undo")}</button>
                <button type="button" class="small" disabled=${!history.future.length} onClick=${() => step(false)}>${t("redo")}</button>
                <label class="inline"><input type="checkbox" checked=${snap} onChange=${(/** @type {any} */ event) => setSnap(event.target.checked)} /> ${t("crops.snap")}</label>
                ${seen.coverage && html`<label class="inline"><input type="checkbox" checked=${coverage} onChange=${(/** @type {any} */ event) => setCoverage(event.target.checked)} /> ${t("crops.coverage")}</label>`}
            </div>
            <div class="split">
                <${CropCanvas}
                    picture=${fileUrl(character, seen.prepared, seen.revision.source)}
                    coverage=${coverage && seen.coverage ? fileUrl(character, seen.coverage, seen.revision.crops) : ""}
                    boxes=${boxes} chosen=${chosen} buckets=${snap ? shapes.buckets : []} colours=${COLOURS}
                    onChoose=${choose} onEdit=${edit} newName=${() => freeName(boxes)}
                />
                <div><ul class="crop-list" aria-label=${t("step.crops")}>
                    ${names.map((each, index) => html`<${CropRow} key=${each} name=${each} box=${boxes.get(each)} colour=${COLOURS[index % COLOURS.length]}
                        crop=${data?.crops.find((crop) => crop.name === each)} shapes=${shapes} isChosen=${each === chosen} onChoose=${choose} />`)}
                    ${!names.length && html`<li class="dim">${t("crops.empty")}</li>`}
                </ul>
                ${names.length > 0 && html`<${CropName} name=${chosen} onRename=${nameAnew} />`}</div>
            </div>
            ${notes.length > 0 && html`<details><summary>${t("notes.of", { n: notes.length })}</summary><ul class="plain">${notes.map((line) => html`<li>${said(line)}</li>`)}</ul></details>`}
        `}
        <${SettingsForm} sections=${["crop"]} />
    </div>`;
}

/** A box in the middle of the picture. @param {[number, number]} size @returns {Box} */
function middle([width, height]) {
    const side = Math.min(width, height) / 2;
    return /** @type {Box} */ ([(width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2].map(Math.round));
}

/** @param {any} props */
function CropRow({ name: which, box, colour, crop, shapes, isChosen, onChoose }) {
    const character = useWatch(name);
    const seen = useWatch(glance);
    const own = figures(box, shapes.buckets, shapes.scale);
    const isCut = crop && String(crop.box) === String(box);
    return html`<li><button type="button" class=${classes("crop-row", isChosen && "is-chosen")} aria-pressed=${String(isChosen)} data-crop=${which}
        style=${{ borderLeftColor: colour }} onClick=${() => onChoose(which)}>
        ${crop ? html`<img src=${thumbUrl(character, crop.file, 96, seen?.revision.crops)} alt="" width="48" height="48" loading="lazy" />` : html`<span class="no-picture" aria-hidden="true">+</span>`}
        <span>
            <strong>${which.replaceAll("_", " ")}</strong>
            <span class="dim small-text"> ${shapes.of && `${own.width}×${own.height} → ${own.bucket?.join("×") ?? ""}`}</span>
            ${own.enlarged > 1.05 && html`<span class="warn-text small-text">${t("crops.enlarged", { times: own.enlarged.toFixed(1) })}</span>`}
            ${!isCut && html`<span class="small-text dim">${t("crops.not_cut")}</span>`}
            ${crop?.symmetry && html`<span class="small-text dim" title=${said(crop.symmetry.sentence)}>${t(crop.symmetry.flip ? "crops.mirrored" : "crops.not_mirrored")}</span>`}
        </span>
    </button></li>`;
}
