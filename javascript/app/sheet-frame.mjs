// A sheet's page in its frame, in the theme and the language of the page around it.
import { html } from "./core.mjs";
import { code, t } from "./words.mjs";

/** The address of a sheet in the language of the page around it. @param {string} url */
export function inOurLanguage(url) {
    return `${url}${url.includes("?") ? "&" : "?"}lang=${code()}`;
}

/** Whether a colour is a dark one. @param {string} colour as computed: rgb(…) */
export function isDark(colour) {
    const [red = 255, green = 255, blue = 255] = (colour.match(/[\d.]+/g) ?? []).map(Number);
    return 0.3 * red + 0.6 * green + 0.1 * blue < 128;
}

/** @param {{id: string, src: string, frame?: any}} props frame: a reference to the element */
export function SheetFrame({ id, src, frame }) {
    /** @param {Event} event */
    const dress = (event) => {
        const shown = /** @type {HTMLIFrameElement} */ (event.currentTarget);
        const root = shown.contentDocument?.documentElement;
        // A theme that was chosen on the sheet itself stays.
        if (root && !root.dataset.theme) root.dataset.theme = isDark(getComputedStyle(shown).backgroundColor) ? "dark" : "light";
    };
    return html`<iframe class="sheet" id=${id} ref=${frame} src=${inOurLanguage(src)} title=${t("sheet")} onLoad=${dress}></iframe>`;
}
