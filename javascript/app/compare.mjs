// Two pictures over each other with a slider: before and after.
import { html, useState } from "./core.mjs";
import { t } from "./words.mjs";

/**
 * @param {{before: string, after: string, size?: [number, number], marks?: {name: string, box: [number, number, number, number]}[]}} props
 *     marks: boxes with their names, in pixels of a picture of this size
 */
export function Compare({ before, after, size = [1, 1], marks = [] }) {
    const [share, setShare] = useState(50);
    return html`<div class="compare">
        <div class="compare-pictures">
            <img src=${after} alt=${t("compare.after")} />
            <img src=${before} alt=${t("compare.before")} style=${{ clipPath: `inset(0 ${100 - share}% 0 0)` }} />
            ${marks.length > 0 && html`<svg class="marks" viewBox=${`0 0 ${size.join(" ")}`} aria-hidden="true">${marks.map(({ name, box: [l, t_, r, b] }) => html`<g key=${name}>
                <rect x=${l} y=${t_} width=${r - l} height=${b - t_} vector-effect="non-scaling-stroke" /><text x=${l} y=${t_} font-size=${size[1] / 24}>${name}</text>
            </g>`)}</svg>`}
            <span class="compare-line" style=${{ left: `${share}%` }} aria-hidden="true"></span>
        </div>
        <label class="inline">${t("compare")} <input type="range" min="0" max="100" value=${share} onInput=${(/** @type {any} */ event) => setShare(Number(event.target.value))} /></label>
    </div>`;
}
