// A place for one picture: dropped, pasted, or chosen from the disk.
import { classes, html, useEffect, useId, useState } from "./core.mjs";
import { t } from "./words.mjs";

/** @param {{label: string, file: Blob | null, onFile: (file: Blob | null) => void, small?: boolean, bad?: string}} props bad: what is wrong with it */
export function DropZone({ label, file, onFile, small = false, bad = "" }) {
    const [over, setOver] = useState(false);
    const [url, setUrl] = useState("");
    const id = useId();
    useEffect(() => {
        if (!file) return setUrl("");
        const made = URL.createObjectURL(file);
        setUrl(made);
        return () => URL.revokeObjectURL(made);
    }, [file]);
    /** @param {DataTransfer | null} given */
    const take = (given) => {
        const found = [...(given?.files ?? [])].find((each) => each.type.startsWith("image/"));
        if (found) onFile(found);
        return Boolean(found);
    };
    useEffect(() => {
        if (small) return;
        /** @param {ClipboardEvent} event */
        const paste = (event) => take(event.clipboardData) && event.preventDefault();
        document.addEventListener("paste", paste);
        return () => document.removeEventListener("paste", paste);
    }, []);
    return html`<label
        for=${id}
        class=${classes("drop", over && "is-over", small && "is-small", bad && "is-bad")}
        onDragOver=${(/** @type {DragEvent} */ event) => { event.preventDefault(); setOver(true); }}
        onDragLeave=${() => setOver(false)}
        onDrop=${(/** @type {DragEvent} */ event) => { event.preventDefault(); event.stopPropagation(); setOver(false); take(event.dataTransfer); }}
    >
        <span class="drop-label">${label}</span>
        ${url ? html`<img src=${url} alt=${label} />` : html`<span class="dim">${t(small ? "drop.small" : "drop")}</span>`}
        ${bad && html`<span class="bad-text" role="alert">${bad}</span>`}
        <input id=${id} type="file" accept="image/*" class="hidden-input" onChange=${(/** @type {any} */ event) => { onFile(event.target.files[0] ?? null); event.target.value = ""; }} />
        ${url && html`<button type="button" class="icon drop-clear" aria-label=${t("drop.clear")} onClick=${(/** @type {Event} */ event) => { event.preventDefault(); onFile(null); }}>✕</button>`}
    </label>`;
}
