// Settings of a step: those that matter in sight, the rest folded by group and searchable.
import { html, useState, useWatch } from "./core.mjs";
import { SettingField } from "./setting-field.mjs";
import { t, tOr } from "./words.mjs";
import { declarations, glance } from "./state.mjs";

/** What most users touch; the other settings are folded away. @type {Record<string, string[]>} */
const FIRST = {
    prepare: "long_side upscaler mask background".split(" "),
    crop: "views details".split(" "),
    caption: "tagger outfit general_threshold prune".split(" "),
    regularization: "count template steps sampler filter".split(" "),
    training: "preset epochs repeats rank alpha unet_lr text_encoder_lr batch_size optimizer block_weights".split(" "),
    plot: "strengths presets epochs seeds prompt prompt_set".split(" "),
    inpaint: "prompt count strength denoise redraw area".split(" "),
};

/** @param {{sections: string[], heading?: string}} props */
export function SettingsForm({ sections, heading }) {
    const all = useWatch(declarations);
    const seen = useWatch(glance);
    const [search, setSearch] = useState("");
    if (!seen) return null;
    const own = all.filter((each) => sections.includes(each.name.split(".")[0]));
    const byHand = new Set(seen.by_hand);
    const word = search.trim().toLowerCase();
    const fits = (/** @type {import("./types.d.ts").Declaration} */ each) =>
        `${each.name} ${each.label} ${tOr(`setting.${each.name}`, "")} ${each.help} ${tOr(`setting.${each.name}.help`, "")} ${each.group} ${tOr(`group.${each.group}`, "")}`.toLowerCase().includes(word);
    /** @param {import("./types.d.ts").Declaration} each */
    const field = (each) => html`<${SettingField} key=${each.name} declared=${each} value=${seen.settings[each.name]} byHand=${byHand.has(each.name)} />`;
    const first = sections.flatMap((section) => (FIRST[section] ?? []).map((key) => own.find((each) => each.name === `${section}.${key}`)).filter(Boolean));
    const rest = own.filter((each) => !first.includes(each));
    /** @type {Map<string, import("./types.d.ts").Declaration[]>} */
    const groups = new Map();
    for (const each of word ? own.filter(fits) : rest) groups.set(each.group, [...(groups.get(each.group) ?? []), each]);
    const found = [...groups.values()].reduce((sum, group) => sum + group.length, 0);
    return html`<section class="settings" aria-label=${heading ?? t("settings")}>
        <div class="row">
            <h3>${heading ?? t("settings")}</h3><span class="grow"></span>
            <input type="search" class="search" placeholder=${t("settings.search", { n: own.length })} aria-label=${t("settings.search", { n: own.length })}
                value=${search} onInput=${(/** @type {any} */ event) => setSearch(event.target.value)} />
        </div>
        ${!word && html`<div class="grid">${first.map((each) => field(/** @type {any} */ (each)))}</div>`}
        ${word && html`<p class="dim" role="status">${found ? t("settings.found", { n: found }) : t("search.none")}</p>`}
        ${[...groups].map(([group, members]) => html`<details key=${`${group}${word}`} open=${Boolean(word)}>
            <summary>${tOr(`group.${group}`, group)} <span class="dim">(${members.length}${members.some((each) => byHand.has(each.name)) ? ` · ${t("setting.by_hand")}` : ""})</span></summary>
            <div class="grid">${members.map(field)}</div>
        </details>`)}
    </section>`;
}
