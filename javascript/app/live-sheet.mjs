// The sheet while it is drawn: each cell in its place, its picture as soon as it is there.
import { ask, fileUrl, ofWorkspace, thumbUrl } from "./api.mjs";
import { html, useEffect, useState, useWatch } from "./core.mjs";
import { name, ownJob } from "./state.mjs";
import { t } from "./words.mjs";

/** @typedef {{title: string, rows: string[], columns: string[], cells: {files: string[], of: number}[][]}} Table */

/** @param {{table: Table, character: string}} props */
function Cells({ table, character }) {
    return html`<div class="scroll"><table class="live">
        ${table.title && html`<caption>${table.title}</caption>`}
        <thead><tr><td></td>${table.columns.map((label) => html`<th scope="col">${label}</th>`)}</tr></thead>
        <tbody>${table.rows.map((label, at) => html`<tr key=${at}><th scope="row">${label}</th>
            ${(table.cells[at] ?? []).map(({ files, of }, column) => html`<td key=${column} data-drawn=${files.length} aria-label=${t("sheet.cell", { n: files.length, of })}>
                ${files.map((file) => html`<a key=${file} href=${fileUrl(character, file)} target="_blank" rel="noopener"><img src=${thumbUrl(character, file, 96)} alt="" width="72" height="72" loading="lazy" /></a>`)}
                ${Array.from({ length: Math.max(0, of - files.length) }, (_, gap) => html`<span key=${`gap ${gap}`} class="gap"></span>`)}
            </td>`)}
        </tr>`)}</tbody>
    </table></div>`;
}

export function LiveSheet() {
    const character = useWatch(name);
    const job = useWatch(ownJob);
    const [sheet, setSheet] = useState(/** @type {{tables: Table[], drawn: number, pictures: number} | null} */ (null));
    const isDrawn = job?.stage === "plot";
    useEffect(() => {
        let gone = false;
        ask(ofWorkspace(character, "sheet/live")).then((told) => !gone && setSheet(told), () => {});
        return () => { gone = true; };
    }, [character, job?.id, isDrawn, isDrawn && job?.message]);
    if (!sheet?.tables.length) return null;
    return html`<div id="sl-live">
        <p role="status">${t("sheet.live", { n: sheet.drawn, of: sheet.pictures })}</p>
        ${sheet.tables.map((table, at) => html`<${Cells} key=${at} table=${table} character=${character} />`)}
    </div>`;
}
