// Which character is open: a list with pictures, search, a new one, deleting with undo.
import { ask, ofWorkspace, thumbUrl } from "./api.mjs";
import { classes, html, useLayoutEffect, useRef, useState, useWatch } from "./core.mjs";
import { t } from "./words.mjs";
import { attempt, glance, name, open, tell, workspaces } from "./state.mjs";

/** Delete; the note that says so brings it back. @param {string} which */
export async function remove(which) {
    const done = await attempt(() => ask(ofWorkspace(which), { method: "DELETE" }));
    if (!done) return;
    if (name.value === which) open("");
    tell(t("workspace.deleted", { name: which }), async () => {
        if (await attempt(() => ask(ofWorkspace(which, "restore"), { body: {} }))) open(which);
    });
}

export function WorkspacePicker() {
    const names = useWatch(workspaces);
    const chosen = useWatch(name);
    const seen = useWatch(glance);
    const [unfolded, unfold] = useState(false);
    const [search, setSearch] = useState("");
    const box = useRef(/** @type {HTMLElement | null} */ (null));
    const button = useRef(/** @type {HTMLElement | null} */ (null));
    const close = () => {
        unfold(false);
        button.current?.focus();
    };
    // Before the next key can come: one that is pressed at once belongs to the search already.
    useLayoutEffect(() => {
        if (!unfolded) return setSearch(""); // what was searched is no wish of the next time
        /** @param {Event} event */
        const outside = (event) => {
            if (box.current && !event.composedPath().includes(box.current)) unfold(false);
        };
        document.addEventListener("pointerdown", outside);
        /** @type {HTMLInputElement | null} */ (box.current?.querySelector("input") ?? null)?.focus();
        return () => document.removeEventListener("pointerdown", outside);
    }, [unfolded]);
    const found = (names ?? []).filter((each) => each.toLowerCase().includes(search.trim().toLowerCase()));
    const choose = (/** @type {string} */ which) => {
        open(which);
        close();
    };
    /** @param {KeyboardEvent} event */
    const takeFirst = (event) => {
        if (event.key !== "Enter" || !search.trim() || !found.length) return;
        event.preventDefault(); // else the button, which gets the focus, is pressed by the same key
        choose(found[0]);
    };
    return html`<div class="picker" ref=${box} onKeyDown=${(/** @type {KeyboardEvent} */ event) => event.key === "Escape" && unfolded && close()}>
        <button type="button" class="picker-button" id="sl-workspace" ref=${button} aria-expanded=${String(unfolded)} onClick=${() => unfold(!unfolded)}>
            ${chosen && html`<img src=${thumbUrl(chosen, "", 96, seen?.revision.source)} alt="" width="40" height="40" />`}
            <span><span class="dim small-text">${t("workspace")}</span><br /><strong>${chosen || t("workspace.new")}</strong></span>
            <span aria-hidden="true">▾</span>
        </button>
        ${unfolded && html`<div class="picker-list" role="dialog" aria-label=${t("workspace.choose")}>
            <input type="search" placeholder=${t("search")} aria-label=${t("search")} value=${search}
                onInput=${(/** @type {any} */ event) => setSearch(event.target.value)}
                onKeyDown=${takeFirst} />
            <ul>
                <li><button type="button" class=${classes("picker-item", !chosen && "is-chosen")} onClick=${() => choose("")}>
                    <span class="picker-new" aria-hidden="true">+</span><span>${t("workspace.new")}</span>
                </button></li>
                ${found.map((each) => html`<li key=${each}>
                    <button type="button" class=${classes("picker-item", each === chosen && "is-chosen")} data-workspace=${each} onClick=${() => choose(each)}>
                        <img src=${thumbUrl(each)} alt="" loading="lazy" width="48" height="48" /><span>${each}</span>
                    </button>
                    <button type="button" class="icon" aria-label=${t("workspace.delete", { name: each })} title=${t("workspace.delete", { name: each })} onClick=${() => remove(each)}>✕</button>
                </li>`)}
            </ul>
            ${!found.length && names?.length ? html`<p class="dim">${t("search.none")}</p>` : null}
        </div>`}
    </div>`;
}
