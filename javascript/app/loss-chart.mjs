// Loss, its mean, the learning rate and the validation over the steps, as an SVG.
import { html } from "./core.mjs";
import { t } from "./words.mjs";

const WIDTH = 640;
const HEIGHT = 160;

/**
 * A line through points, as SVG's path.
 * @param {[number, number][]} points @param {(x: number) => number} x @param {(y: number) => number} y
 */
export function path(points, x, y) {
    return points.map(([px, py], at) => `${at ? "L" : "M"}${x(px).toFixed(1)} ${y(py).toFixed(1)}`).join("");
}

/** @param {{log: {steps: {step: number, loss: number, smoothed: number, lr: number}[], validation: {step: number, loss: number, bands: Record<string, number>}[]}}} props */
export function LossChart({ log }) {
    const { steps, validation } = log;
    const last = Math.max(1, ...steps.map((each) => each.step));
    const losses = [...steps.map((each) => each.smoothed), ...validation.flatMap((each) => [each.loss, ...Object.values(each.bands)])];
    const high = Math.max(...losses, 1e-9) * 1.15;
    const highest = Math.max(...steps.map((each) => each.lr), 1e-12);
    const x = (/** @type {number} */ step) => (step / last) * WIDTH;
    const y = (/** @type {number} */ loss) => HEIGHT - (Math.min(loss, high) / high) * HEIGHT;
    const rate = (/** @type {number} */ lr) => HEIGHT - (lr / highest) * HEIGHT * 0.95;
    const now = steps[steps.length - 1];
    const latest = validation[validation.length - 1];
    const bands = Object.keys(latest?.bands ?? {});
    /** @param {string} band @returns {[number, number][]} */
    const ofBand = (band) => validation.filter((each) => band in each.bands).map((each) => [each.step, each.bands[band]]);
    return html`<figure class="chart">
        <svg viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label=${t("chart", { loss: now.smoothed.toFixed(4), step: now.step })}>
            <path class="chart-lr" d=${path(steps.map((each) => [each.step, each.lr]), x, rate)} />
            <path class="chart-loss" d=${path(steps.map((each) => [each.step, each.loss]), x, y)} />
            <path class="chart-mean" d=${path(steps.map((each) => [each.step, each.smoothed]), x, y)} />
            ${bands.map((band) => html`<path key=${band} class="chart-band" d=${path(ofBand(band), x, y)} />`)}
            ${validation.length > 0 && html`<path class="chart-validation" d=${path(validation.map((each) => [each.step, each.loss]), x, y)} />`}
        </svg>
        <figcaption class="small-text"><span class="key-mean">${t("chart.loss")} ${now.smoothed.toFixed(4)}</span>
            ${validation.length > 0 && html`<span class="key-validation">${t("chart.validation")} ${latest.loss.toFixed(4)}${bands.length > 0 && ` (${bands.map((band) => `t${band} ${latest.bands[band].toFixed(4)}`).join(", ")})`}</span>`}
            <span class="key-lr">${t("chart.lr")} ${now.lr.toPrecision(2)}</span> <span class="dim">${t("chart.steps", { n: now.step })}</span></figcaption>
    </figure>`;
}
