// The recommended LoRA with its reason and how sure it is; where it can go from here.
import { html, useState, useWatch } from "./core.mjs";
import { places, send } from "./host.mjs";
import { attempt, glance, name, tell } from "./state.mjs";
import { said } from "./sentences.mjs";
import { t } from "./words.mjs";

export function Recommendation() {
    const seen = useWatch(glance);
    const character = useWatch(name);
    const [copied, setCopied] = useState("");
    if (!seen) return null;
    const best = seen.recommendation;
    const names = Object.keys(seen.loras);
    const tag = best ? `<lora:${best.name}:${Number(best.strength.toFixed(3))}>` : `<lora:${names[names.length - 1]}:0.8>`;
    const copy = () => attempt(async () => {
        await navigator.clipboard.writeText(tag);
        setCopied(tag);
        tell(t("copied", { text: tag }));
    });
    return html`<section class="take" id="sl-take" aria-label=${t("take")}>
        <p class="row">${t(best ? "take" : "take.last")} <code>${tag}</code>
            <button type="button" class="small" onClick=${copy}>${t(copied === tag ? "copy.again" : "copy")}</button>
            ${places().map((place) => html`<button type="button" key=${place} class="small" data-send=${place} onClick=${() => send(place, character)}>${t(`send.${place}`)}</button>`)}
        </p>
        <p class="dim">${t("take.word", { word: seen.settings["character.trigger"] })}</p>
        ${best ? html`<p>${said(best.reason)}${t("stop")}</p>
            ${best.confidence !== null && html`<label class="inline">${t("take.sure", { percent: Math.round(100 * best.confidence) })} <meter min="0" max="1" low="0.5" high="0.8" optimum="1" value=${best.confidence}></meter></label>`}
            ${best.confidence !== null && best.confidence < 0.6 && html`<p class="dim">${t("take.unsure")}</p>`}`
            : html`<p class="dim">${t("take.no_sheet")}</p>`}
    </section>`;
}
