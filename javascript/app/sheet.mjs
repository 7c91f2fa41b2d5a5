// The sheet: how long it would take, and the page that the stage wrote, in its own frame.
import { ask, fileUrl, ofWorkspace } from "./api.mjs";
import { html, useState, useWatch } from "./core.mjs";
import { LiveSheet, useLiveSheet } from "./live-sheet.mjs";
import { SheetFrame, inOurLanguage } from "./sheet-frame.mjs";
import { attempt, glance, name, ownJob } from "./state.mjs";
import { said } from "./sentences.mjs";
import { t } from "./words.mjs";

export function Sheet() {
    const seen = useWatch(glance);
    const character = useWatch(name);
    const [plan, setPlan] = useState("");
    const live = useLiveSheet();
    const isDrawn = useWatch(ownJob)?.stage === "plot";
    if (!seen) return null;
    const url = seen.page && fileUrl(character, seen.page, seen.revision.plots);
    return html`<section aria-label=${t("sheet")}>
        <div class="row"><h3>${t("sheet")}</h3><span class="grow"></span>
            <button type="button" class="small" id="sl-plan" onClick=${() => attempt(async () => setPlan((await ask(ofWorkspace(character, "plan"))).plan))}>${t("sheet.plan")}</button>
            ${url && html`<a class="button small" href=${inOurLanguage(url)} target="_blank" rel="noopener">${t("sheet.open")}</a>`}
        </div>
        ${plan && html`<p class="note" role="status">${said(plan)}</p>`}
        ${live && (isDrawn || !url) && html`<${LiveSheet} key=${character} told=${live} />`}
        ${live && isDrawn ? null : url ? html`<${SheetFrame} id="sl-sheet" src=${url} />` : html`<p class="dim">${t("sheet.empty")}</p>`}
    </section>`;
}
