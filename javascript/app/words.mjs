// Texts in the host's language.  A text is asked for by its key; `key_one` is its form for n = 1.
import { en } from "./texts/en.mjs";
import { ja } from "./texts/ja.mjs";

/** @type {Record<string, Record<string, string>>} */
const LANGUAGES = { en, ja };

/** The WebUI's own localization, else the page's language, else the browser's. */
function language() {
    const settings = /** @type {any} */ (window).opts;
    const named = [settings?.localization ?? "", ...navigator.languages];
    for (const text of named.map((each) => String(each).toLowerCase())) {
        if (/^ja|japan|日本/.test(text)) return "ja";
        if (/^en/.test(text)) return "en";
    }
    return "en";
}

let chosen = language();

/** The language's code. */
export function code() {
    return chosen;
}

/** Choose another language. @param {string} other */
export function speak(other) {
    if (other in LANGUAGES) chosen = other;
}

/**
 * A text.
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 * @returns {string}
 */
export function t(key, values = {}) {
    const texts = LANGUAGES[chosen] ?? en;
    const form = values.n === 1 && `${key}_one` in texts ? `${key}_one` : key;
    const text = texts[form] ?? en[form] ?? en[key] ?? key;
    return text.replace(/\{(\w+)\}/g, (_, word) => String(values[word] ?? ""));
}

/** A text if there is one for this key, else another. @param {string} key @param {string} other */
export function tOr(key, other) {
    return (LANGUAGES[chosen] ?? en)[key] ?? other;
}

/** A duration: 75 -> "1:15". @param {number} seconds */
export function clock(seconds) {
    const total = Math.max(0, Math.round(seconds));
    const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
    const hours = Math.floor(total / 3600);
    const minutes = Math.floor((total % 3600) / 60);
    return hours ? `${hours}:${two(minutes)}:${two(total % 60)}` : `${minutes}:${two(total % 60)}`;
}
