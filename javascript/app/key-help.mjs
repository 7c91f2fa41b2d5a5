// The list of keys.
import { html, useWatch } from "./core.mjs";
import { Dialog } from "./dialog.mjs";
import { helpOpen } from "./keys.mjs";
import { t } from "./words.mjs";

const KEYS = [
    ["Alt+1 … Alt+6", "keys.steps"],
    ["← →", "keys.tabs"],
    ["?", "keys.help"],
    ["↑ ↓ ← →", "keys.move"],
    ["Shift + ↑ ↓ ← →", "keys.resize"],
    ["F2", "keys.rename"],
    ["Delete", "keys.delete"],
    ["Ctrl+Z, Ctrl+Shift+Z", "keys.undo"],
    ["+ − 0", "keys.zoom"],
    ["[ ]", "keys.brush"],
    ["Alt+← Alt+→", "keys.order"],
    ["Esc", "keys.close"],
];

export function KeyHelp() {
    if (!useWatch(helpOpen)) return null;
    return html`<${Dialog} title=${t("keys")} onClose=${() => { helpOpen.value = false; }}>
        <dl class="keys">
            ${KEYS.map(([key, text]) => html`<div><dt><kbd>${key}</kbd></dt><dd>${t(text)}</dd></div>`)}
        </dl>
    <//>`;
}
