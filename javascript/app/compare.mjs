// Two pictures over each other, told apart by a line: any two of those between the original and the prepared one.
import { html, useId, useRef, useState } from "./core.mjs";
import { tOr, t } from "./words.mjs";

/** @typedef {{name: string, url: string, box: import("./boxes.mjs").Box}} Pictured box: where it lies in the last picture */

/**
 * @param {{pictures: Pictured[], marks?: {name: string, box: import("./boxes.mjs").Box}[]}} props
 *     pictures: in their order; marks: boxes with their names, in pixels of the first picture's place
 */
export function Compare({ pictures, marks = [] }) {
    const [share, setShare] = useState(50);
    const [wanted, want] = useState({ left: "", right: "" });
    const stage = useRef(/** @type {HTMLElement | null} */ (null));
    const dragged = useRef(-1);
    const of = (/** @type {string} */ name, /** @type {Pictured} */ other) => pictures.find((each) => each.name === name) ?? other;
    const [first, last] = [pictures[0], pictures[pictures.length - 1]];
    const [left, right] = [of(wanted.left, first), of(wanted.right, last)];
    const [, , width, height] = last.box;
    const names = { left: nameOf(left.name), right: nameOf(right.name) };
    /** @param {PointerEvent} event */
    const follow = (event) => {
        const place = stage.current?.getBoundingClientRect();
        if (place) setShare(Math.round(Math.min(100, Math.max(0, ((event.clientX - place.left) / place.width) * 100))));
    };
    /** @param {PointerEvent} event */
    const down = (event) => {
        if (event.button || !event.isPrimary) return;
        dragged.current = event.pointerId;
        /** @type {HTMLElement} */ (event.currentTarget).setPointerCapture(event.pointerId);
        follow(event);
    };
    const move = (/** @type {PointerEvent} */ event) => { if (event.pointerId === dragged.current) follow(event); };
    const up = () => { dragged.current = -1; };
    /** @param {Pictured} each @param {string} clip */
    const layer = (each, clip) => html`<div class="compare-layer" style=${{ clipPath: clip }}>
        <img src=${each.url} alt=${nameOf(each.name)} draggable=${false} style=${placed(each.box, width, height)} />
    </div>`;
    const [x, y, ...end] = first.box;
    return html`<div class="compare" id="sl-compare">
        ${pictures.length > 2 && html`<div class="row compare-choice">
            <${Choice} label=${t("compare.left")} pictures=${pictures} chosen=${left.name} onChoose=${(/** @type {string} */ name) => want({ ...wanted, left: name })} />
            <${Choice} label=${t("compare.right")} pictures=${pictures} chosen=${right.name} onChoose=${(/** @type {string} */ name) => want({ ...wanted, right: name })} />
        </div>`}
        <div class="compare-pictures"><div class="compare-stage" ref=${stage} style=${{ "--w": width, "--h": height }}
            onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${up}>
            ${layer(right, `inset(0 0 0 ${share}%)`)}
            ${layer(left, `inset(0 ${100 - share}% 0 0)`)}
            ${marks.length > 0 && html`<svg class="marks" style=${placed(first.box, width, height)} viewBox=${`0 0 ${end[0] - x} ${end[1] - y}`} aria-hidden="true">${marks.map(({ name, box: [l, t_, r, b] }) => html`<g key=${name}>
                <rect x=${l} y=${t_} width=${r - l} height=${b - t_} vector-effect="non-scaling-stroke" /><text x=${l} y=${t_} font-size=${height / 24}>${name}</text>
            </g>`)}</svg>`}
            <span class="compare-name" aria-hidden="true">${names.left}</span><span class="compare-name is-right" aria-hidden="true">${names.right}</span>
            <span class="compare-line" style=${{ left: `${share}%` }} aria-hidden="true"></span>
        </div></div>
        <label class="inline">${t("compare")} <input type="range" min="0" max="100" value=${share} aria-valuetext=${t("compare.value", { ...names, share })}
            onInput=${(/** @type {any} */ event) => setShare(Number(event.target.value))} /></label>
    </div>`;
}

/** @param {string} name */
function nameOf(name) {
    return tOr(`substep.${name}`, name);
}

/** Where a picture lies in the frame of the last one. @param {import("./boxes.mjs").Box} box @param {number} width @param {number} height */
function placed([l, t_, r, b], width, height) {
    const share = (/** @type {number} */ part, /** @type {number} */ whole) => `${(part / whole) * 100}%`;
    return { left: share(l, width), top: share(t_, height), width: share(r - l, width), height: share(b - t_, height) };
}

/** Radio buttons in a row. @param {{label: string, pictures: Pictured[], chosen: string, onChoose: (name: string) => void}} props */
function Choice({ label, pictures, chosen, onChoose }) {
    const group = useId();
    return html`<fieldset class="choice"><legend>${label}</legend>
        ${pictures.map(({ name }) => html`<label key=${name} class="inline"><input type="radio" name=${group} value=${name} checked=${name === chosen} onChange=${() => onChoose(name)} /> ${nameOf(name)}</label>`)}
    </fieldset>`;
}
