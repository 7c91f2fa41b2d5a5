// Two pictures over each other with a slider: before and after.
import { html, useState } from "./core.mjs";
import { t } from "./words.mjs";

/** @param {{before: string, after: string}} props */
export function Compare({ before, after }) {
    const [share, setShare] = useState(50);
    return html`<div class="compare">
        <div class="compare-pictures">
            <img src=${after} alt=${t("compare.after")} />
            <img src=${before} alt=${t("compare.before")} style=${{ clipPath: `inset(0 ${100 - share}% 0 0)` }} />
            <span class="compare-line" style=${{ left: `${share}%` }} aria-hidden="true"></span>
        </div>
        <label class="inline">${t("compare")} <input type="range" min="0" max="100" value=${share} onInput=${(/** @type {any} */ event) => setShare(Number(event.target.value))} /></label>
    </div>`;
}
