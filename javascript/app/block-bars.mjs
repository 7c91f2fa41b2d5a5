// Block weights as bars that can be dragged, with the presets beside them.
import { ask, ofWorkspace } from "./api.mjs";
import { classes, html, useEffect, useRef, useState, useWatch } from "./core.mjs";
import { glance, name } from "./state.mjs";
import { t } from "./words.mjs";

const HIGH = 1.5; // weight at the upper edge
const STEP = 0.05;

/** @param {number[]} values */
export function asValues(values) {
    return values.map((value) => String(Math.round(value * 100) / 100)).join(",");
}

/** @param {{value: string, onChange: (text: string) => void}} props */
export function BlockBars({ value, onChange }) {
    const seen = useWatch(glance);
    const character = useWatch(name);
    const [told, setTold] = useState(/** @type {{labels: string[], presets: Record<string, number[]>, now: number[], norms: number[] | null, held: string[]} | null} */ (null));
    const [draft, setDraft] = useState(/** @type {number[] | null} */ (null));
    const dragged = useRef(-1);
    useEffect(() => {
        let gone = false;
        ask(ofWorkspace(character, "blocks")).then((answer) => { if (!gone) { setTold(answer); setDraft(null); } }, () => {});
        return () => { gone = true; };
    }, [character, seen?.revision.settings, seen?.revision.model]);
    if (!told) return html`<p class="dim">${t("loading")}</p>`;
    // A preset shows at once; other values once the program has read them.
    const weights = draft ?? told.presets[value] ?? told.now;
    const most = Math.max(1e-9, ...(told.norms ?? []));
    /** @param {number} at @param {number} weight */
    const set = (at, weight) => {
        const rounded = Math.min(HIGH, Math.max(0, Math.round(weight / STEP) * STEP));
        const next = weights.map((each, index) => (index === at ? rounded : each));
        setDraft(next);
        return next;
    };
    /** @param {PointerEvent} event @param {number} at */
    const drag = (event, at) => {
        const bar = /** @type {HTMLElement} */ (event.currentTarget);
        if (event.type === "pointerdown") {
            bar.setPointerCapture(event.pointerId);
            dragged.current = at;
        }
        if (dragged.current !== at) return;
        const box = bar.getBoundingClientRect();
        const next = set(at, ((box.bottom - event.clientY) / box.height) * HIGH);
        if (event.type === "pointerup") {
            dragged.current = -1;
            onChange(asValues(next));
        }
    };
    /** @param {KeyboardEvent} event @param {number} at */
    const pressed = (event, at) => {
        const by = { ArrowUp: STEP, ArrowDown: -STEP, PageUp: 0.25, PageDown: -0.25 }[event.key];
        const to = { Home: 0, End: 1 }[event.key];
        if (by === undefined && to === undefined) return;
        event.preventDefault();
        onChange(asValues(set(at, to ?? weights[at] + (by ?? 0))));
    };
    const chosen = Object.entries(told.presets).find(([, values]) => asValues(values) === asValues(weights))?.[0] ?? "";
    return html`<div class="blocks" id="sl-blocks">
        <div class="chips" role="group" aria-label=${t("blocks.presets")}>
            ${Object.keys(told.presets).map((preset) => html`<button type="button" key=${preset} class=${classes("chip", chosen === preset && "is-chosen")} aria-pressed=${String(chosen === preset)} data-preset=${preset}
                title=${preset === "article" ? t("blocks.article") : preset === "OUTD" ? t("blocks.outd") : ""} onClick=${() => onChange(preset)}>${preset}</button>`)}
        </div>
        <div class="bars" role="group" aria-label=${t("blocks")}>
            ${told.labels.map((label, at) => html`<div key=${label} class=${classes("block", !told.held.includes(label) && "is-bare")}>
                <div class="block-bar" role="slider" tabindex="0" aria-label=${label} aria-orientation="vertical" aria-valuemin="0" aria-valuemax=${HIGH} aria-valuenow=${Math.round(weights[at] * 100) / 100}
                    data-block=${label} title=${`${label}: ${Math.round(weights[at] * 100) / 100}`}
                    onPointerDown=${(/** @type {PointerEvent} */ event) => drag(event, at)} onPointerMove=${(/** @type {PointerEvent} */ event) => drag(event, at)} onPointerUp=${(/** @type {PointerEvent} */ event) => drag(event, at)}
                    onKeyDown=${(/** @type {KeyboardEvent} */ event) => pressed(event, at)}>
                    <div class="block-fill" style=${{ height: `${(weights[at] / HIGH) * 100}%` }}></div>
                    ${told.norms && html`<div class="block-norm" style=${{ bottom: `${(told.norms[at] / most) * 100}%` }}></div>`}
                </div>
                <span class="block-label">${label}</span>
            </div>`)}
        </div>
        ${["article", "OUTD"].includes(chosen) && html`<p class="note">${t(chosen === "article" ? "blocks.article" : "blocks.outd")}</p>`}
        <p class="help">${t("blocks.help")}${told.norms ? ` ${t("blocks.norms")}` : ""}</p>
    </div>`;
}
