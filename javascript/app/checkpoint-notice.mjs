// What keeps the checkpoint in use from being used, and the button that mends it.
import { ask } from "./api.mjs";
import { html, useEffect, useState, useWatch } from "./core.mjs";
import { attempt, checkpoint, tell } from "./state.mjs";
import { t } from "./words.mjs";

export function CheckpointNotice() {
    const asked = useWatch(checkpoint);
    const [told, setTold] = useState({ problem: "", remedy: "" });
    const [busy, setBusy] = useState(false);
    const look = () => ask("checkpoint").then(setTold, () => setTold({ problem: "", remedy: "" }));
    useEffect(() => { look(); }, [asked.checkpoint]);
    if (!told.problem) return null;
    const mend = async () => {
        setBusy(true);
        await attempt(async () => tell((await ask("checkpoint/mend", { body: {} })).message));
        await look();
        setBusy(false);
    };
    return html`<div class="note warn" role="alert" id="sl-checkpoint">
        <p>${told.problem}</p>
        ${told.remedy && html`<button type="button" class="small" disabled=${busy} onClick=${mend}>${busy ? t("running") : told.remedy}</button>`}
    </div>`;
}
