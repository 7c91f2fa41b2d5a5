// What the page asks of the program around it: "Send to" and the list of LoRAs are the WebUI's own.
import { effect } from "./core.mjs";
import { jobs } from "./state.mjs";

/** @returns {ParentNode} */
function app() {
    const own = /** @type {any} */ (window).gradioApp;
    return typeof own === "function" ? own() : document;
}

/** The places that take a result, as far as this host has them. */
export function places() {
    return ["txt2img", "img2img", "inpaint"].filter((place) => app().querySelector(`#singlelora_send_${place}`));
}

/** The pictures that tabs of the host show as their last results. @returns {{place: string, url: string}[]} */
export function results() {
    return ["txt2img", "img2img"].flatMap((place) => {
        const shown = /** @type {NodeListOf<HTMLImageElement>} */ (app().querySelectorAll(`#${place}_gallery img`));
        // gradio puts the one that is looked at first, before the row of small ones
        return shown.length ? [{ place, url: shown[0].src }] : [];
    });
}

/** @param {string} selector @param {string} value */
function fill(selector, value) {
    const field = /** @type {HTMLInputElement | null} */ (app().querySelector(`${selector} textarea, ${selector} input`));
    if (!field) return;
    const kind = field instanceof HTMLTextAreaElement ? HTMLTextAreaElement : HTMLInputElement;
    Object.getOwnPropertyDescriptor(kind.prototype, "value")?.set?.call(field, value);
    field.dispatchEvent(new Event("input", { bubbles: true }));
}

/** Give the workspace's result to a tab of the host. @param {string} place @param {string} workspace */
export function send(place, workspace) {
    fill("#singlelora_workspace", workspace);
    // gradio takes the field's value at its own pace
    setTimeout(() => /** @type {HTMLElement | null} */ (app().querySelector(`#singlelora_send_${place}`))?.click(), 300);
}

/** Show new LoRA files in the WebUI's own tabs once a job ended; the function ends it. */
export function refreshLoras() {
    let ended = -1;
    return effect(() => {
        const now = jobs.value.filter((job) => job.state !== "running" && job.state !== "waiting").length;
        if (ended >= 0 && now > ended) {
            for (const tab of ["txt2img", "img2img"]) {
                /** @type {HTMLElement | null} */ (app().querySelector(`#${tab}_lora_extra_refresh`))?.click();
            }
        }
        ended = now;
    });
}
