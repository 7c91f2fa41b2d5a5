// One crop beside its caption: chips to drag, drop, restore and add.
import { thumbUrl } from "./api.mjs";
import { classes, html, useEffect, useRef, useState, useWatch } from "./core.mjs";
import { useDraft } from "./draft.mjs";
import { useTagDrag } from "./tag-drag.mjs";
import { captionOf, reordered, suggestions, tagsOf } from "./tags.mjs";
import { glance, name as workspace } from "./state.mjs";
import { t } from "./words.mjs";

/**
 * @param {{name: string, caption: {text: string, tokens: number, beyond: string}, limit: number, file: string,
 *     left: string[], known: any, frequent: Record<string, number>, onWrite: (crop: string, text: string) => Promise<unknown>}} props
 *     left: tags that were seen on this crop and left out
 */
export function CaptionCard({ name, caption, limit, file, left, known, frequent, onWrite }) {
    const seen = useWatch(glance);
    const character = useWatch(workspace);
    const [tags, setTags] = useState(() => tagsOf(caption.text));
    const [asText, showText] = useState(false);
    const list = useRef(/** @type {HTMLElement | null} */ (null));
    const [saving, setSaving] = useState(0);
    // While edits are being saved, what arrives is older than what is shown.
    useEffect(() => { if (!saving) setTags(tagsOf(caption.text)); }, [caption.text, saving]);
    const typed = useDraft(captionOf(tags), async (text) => { write(tagsOf(text)); return true; });
    const beyond = new Set(tagsOf(caption.beyond));
    const trigger = seen?.settings["character.trigger"];
    /** @param {string[]} next */
    const write = (next) => {
        setTags(next);
        if (!saving && captionOf(next) === caption.text) return;
        setSaving((count) => count + 1);
        onWrite(name, captionOf(next)).finally(() => setSaving((count) => count - 1));
    };
    const { tag: dragged, gap, ...dragging } = useTagDrag(list, (tag, to) => write(reordered(tags, tag, to)), !asText);
    // After the new order is drawn and before the next key can come.
    const focus = (/** @type {number} */ at) => queueMicrotask(() =>
        /** @type {NodeListOf<HTMLElement> | undefined} */ (list.current?.querySelectorAll("[data-tag]"))?.[at]?.focus());
    /** @param {KeyboardEvent} event @param {string} tag @param {number} at */
    const pressed = (event, tag, at) => {
        const to = { ArrowLeft: at - 1, ArrowRight: at + 1 }[event.key];
        if (event.key === "Delete" || event.key === "Backspace") {
            write(tags.filter((each) => each !== tag));
            focus(Math.max(0, at - 1));
        } else if (to !== undefined && to >= 0 && to < tags.length) {
            if (event.altKey) write(reordered(tags, tag, to));
            focus(to);
        } else return;
        event.preventDefault();
    };
    const gone = left.filter((tag) => !tags.includes(tag));
    return html`<article class="card" data-caption=${name} aria-label=${name.replaceAll("_", " ")}>
        ${file && html`<img src=${thumbUrl(character, file, 256, seen?.revision.crops)} alt="" loading="lazy" width="112" height="112" />`}
        <div class="card-body">
            <div class="row"><strong>${name.replaceAll("_", " ")}</strong><span class="grow"></span>
                <span class=${classes("small-text", caption.tokens > limit ? "warn-text" : "dim")}>${t("captions.tokens", { n: caption.tokens, limit })}</span>
                <button type="button" class="link small-text" aria-pressed=${String(asText)} onClick=${() => showText(!asText)}>${t(asText ? "captions.as_chips" : "captions.as_text")}</button>
            </div>
            ${asText
                ? html`<textarea rows="4" aria-label=${t("captions.of", { name })} ...${typed}></textarea>`
                : html`<div class="chips"><div class="inside" ref=${list} role="list" aria-label=${t("captions.of", { name })} ...${dragging}>
                    ${tags.map((tag, at) => html`<span key=${tag} role="listitem" tabindex="0" data-tag=${tag}
                        data-category=${tag === trigger ? "trigger" : known.categories[tag] ?? "other"}
                        class=${classes("chip", beyond.has(tag) && "is-beyond", dragged === tag && "is-dragged", gap === at && "is-before", gap === tags.length && at === gap - 1 && "is-after")}
                        onKeyDown=${(/** @type {KeyboardEvent} */ event) => pressed(event, tag, at)}>
                        ${tag}<button type="button" class="chip-x" tabindex="-1" aria-label=${t("captions.remove", { tag })} onClick=${() => write(tags.filter((each) => each !== tag))}>✕</button>
                    </span>`)}</div>
                    ${gone.map((tag) => html`<button type="button" key=${`-${tag}`} class="chip is-left" data-left=${tag} title=${t("captions.restore")} onClick=${() => write([...tags, tag])}><s>${tag}</s></button>`)}
                    <${AddTag} known=${known.tags} frequent=${frequent} without=${tags} onAdd=${(/** @type {string} */ tag) => write([...tags, tag])} />
                </div>`}
        </div>
    </article>`;
}

let lists = 0; // of suggestions, so far: each has ids of its own

/** @param {{known: string[], frequent: Record<string, number>, without: string[], onAdd: (tag: string) => void, label?: string}} props */
export function AddTag({ known, frequent, without, onAdd, label }) {
    const [id] = useState(() => `suggestions-${(lists += 1)}`);
    const [typed, setTyped] = useState("");
    const [chosen, choose] = useState(-1);
    const [isFocused, setFocused] = useState(false);
    const found = isFocused ? suggestions(typed, known, frequent, without) : [];
    /** @param {string} text */
    const add = (text) => {
        const tag = text.trim();
        if (tag && !tag.includes(",") && !without.includes(tag)) onAdd(tag);
        setTyped("");
        choose(-1);
    };
    /** @param {KeyboardEvent} event */
    const pressed = (event) => {
        if (event.key === "Enter" || event.key === ",") add(found[chosen] ?? typed);
        else if (event.key === "ArrowDown") choose(Math.min(chosen + 1, found.length - 1));
        else if (event.key === "ArrowUp") choose(Math.max(chosen - 1, -1));
        else if (event.key === "Escape") { setTyped(""); choose(-1); } else return;
        event.preventDefault();
        event.stopPropagation();
    };
    return html`<span class="add-tag">
        <input value=${typed} placeholder=${t("captions.add")} aria-label=${label ?? t("captions.add")} size="12" role="combobox" aria-expanded=${String(found.length > 0)} aria-autocomplete="list"
            aria-controls=${found.length > 0 ? id : undefined} aria-activedescendant=${chosen in found ? `${id}-${chosen}` : undefined}
            onInput=${(/** @type {any} */ event) => { setTyped(event.target.value); choose(-1); }} onKeyDown=${pressed} onFocus=${() => setFocused(true)} onBlur=${() => setFocused(false)} />
        ${found.length > 0 && html`<ul id=${id} class="suggestions" role="listbox" aria-label=${t("captions.add")}>
            ${found.map((tag, at) => html`<li key=${tag} id=${`${id}-${at}`} role="option" aria-selected=${String(at === chosen)} class=${at === chosen ? "is-chosen" : ""} onMouseDown=${(/** @type {Event} */ event) => { event.preventDefault(); add(tag); }}>${tag} ${frequent[tag] ? html`<span class="dim">${frequent[tag]}</span>` : null}</li>`)}
        </ul>`}
    </span>`;
}
