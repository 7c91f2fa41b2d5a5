// The six steps with their states, as tabs.
import { classes, html, useWatch } from "./core.mjs";
import { t, tOr } from "./words.mjs";
import { declarations, glance, step } from "./state.mjs";

export const STEPS = ["source", "crops", "captions", "regularization", "train", "test"];
/** @type {Record<string, string>} */
const MARKS = { done: "✓", stale: "!", running: "▶", waiting: "…", begun: "◐", skipped: "–", ready: "•", empty: "" };

/**
 * Why a step is stale, in words.
 * @param {import("./types.d.ts").Step} seen
 */
export function reasons(seen) {
    const labels = new Map(declarations.value.map((each) => [each.name, each.label]));
    const own = seen.because.map((change) =>
        change.kind === "setting"
            ? t("stale.setting", { label: tOr(`setting.${change.name}`, labels.get(change.name) ?? change.name), was: change.was || "–", now: change.now || "–" })
            : t(`stale.${change.name}`));
    const before = seen.after.map((name) => t("stale.after", { step: t(`step.${name}`) }));
    return [...own, ...before];
}

export function StepBar() {
    const seen = useWatch(glance);
    const open = useWatch(step);
    useWatch(declarations);
    /** @param {KeyboardEvent} event */
    const pressed = (event) => {
        const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!by) return;
        event.preventDefault();
        const next = STEPS[(STEPS.indexOf(open) + by + STEPS.length) % STEPS.length];
        step.value = next;
        const bar = /** @type {HTMLElement} */ (event.currentTarget);
        /** @type {HTMLElement | null} */ (bar.querySelector(`#sl-step-${next}`))?.focus();
    };
    return html`
        <div class="steps" role="tablist" aria-label=${t("steps")} onKeyDown=${pressed}>
            ${STEPS.map((name, index) => {
                const own = seen?.steps.find((each) => each.name === name);
                const state = own?.state ?? "empty";
                const why = own && state === "stale" ? reasons(own).join(" ") : t(`state.${state}.help`, { step: own?.needs ? t(`step.${own.needs}`) : "" });
                return html`<button
                    type="button"
                    role="tab"
                    id=${`sl-step-${name}`}
                    class=${classes("step", `is-${state}`)}
                    aria-selected=${String(open === name)}
                    aria-controls="sl-panel"
                    tabindex=${open === name ? 0 : -1}
                    data-state=${state}
                    title=${why}
                    onClick=${() => { step.value = name; }}
                >
                    <span class="step-number" aria-hidden="true">${MARKS[state] || index + 1}</span>
                    <span class="step-name">${t(`step.${name}`)}</span>
                    <span class="step-state">${t(`state.${state}`)}</span>
                </button>`;
            })}
        </div>
    `;
}
