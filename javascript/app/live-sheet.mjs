// The sheet while it is drawn: the page that it will be, each picture put into its place as soon as it is there.
import { ask, fileUrl, ofWorkspace, thumbUrl } from "./api.mjs";
import { html, useEffect, useRef, useState, useWatch } from "./core.mjs";
import { SheetFrame } from "./sheet-frame.mjs";
import { name, ownJob } from "./state.mjs";
import { t } from "./words.mjs";

/** @typedef {{tables: {cells: {files: string[], of: number}[][]}[], drawn: number, pictures: number, page: string | null}} Told */
const SIDE = 256; // of the pictures, pixels; the large view has the whole ones

/** The pictures that are drawn: address on the sheet's page -> a small one's. @param {Told} told @param {string} character */
function drawn(told, character) {
    const files = told.tables.flatMap((table) => table.cells.flat()).flatMap((cell) => cell.files);
    return Object.fromEntries(files.map((file) => [file.replace(/^plots\//, ""), thumbUrl(character, file, SIDE)]));
}

/** What is drawn of the open workspace's sheet; null while none is. @returns {Told | null} */
export function useLiveSheet() {
    const character = useWatch(name);
    const job = useWatch(ownJob);
    const [told, setTold] = useState(/** @type {Told | null} */ (null));
    const isDrawn = job?.stage === "plot";
    useEffect(() => {
        let gone = false;
        ask(ofWorkspace(character, "sheet/live")).then((answer) => !gone && setTold(answer), () => {});
        return () => { gone = true; };
    }, [character, job?.id, isDrawn, isDrawn && job?.message]);
    return told?.tables.length ? told : null;
}

/** @param {{told: Told}} props */
export function LiveSheet({ told }) {
    const character = useWatch(name);
    const frame = useRef(/** @type {HTMLIFrameElement | null} */ (null));
    const latest = useRef(told);
    latest.current = told;
    const tellPage = () => frame.current?.contentWindow?.postMessage({ pictures: drawn(latest.current, character) }, location.origin);
    useEffect(() => { tellPage(); }, [told]);
    useEffect(() => {
        /** @param {MessageEvent} event */
        const heard = (event) => {
            if (event.source === frame.current?.contentWindow && event.data?.ready === "sheet") tellPage();
        };
        window.addEventListener("message", heard);
        return () => window.removeEventListener("message", heard);
    }, []);
    // Another sheet is another page
    const shape = told.tables.map((table) => table.cells.map((row) => row.length).join(".")).join("-");
    return html`<div id="sl-live">
        <p role="status">${t("sheet.live", { n: told.drawn, of: told.pictures })}</p>
        ${told.page && html`<${SheetFrame} id="sl-live-sheet" frame=${frame} key=${shape} src=${fileUrl(character, told.page, shape)} />`}
    </div>`;
}
