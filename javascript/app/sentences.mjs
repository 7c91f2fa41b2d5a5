// What the program itself says (reasons, notes, errors), in the page's words and language.  It speaks English
// and keeps its sentences in the workspace's files; a language has a list of [its sentence, ours], with {0}, {1} …
// for what changes.  A value may be a sentence itself.  What no list knows is shown as it came.
import { sentences as en } from "./texts/en-sentences.mjs";
import { sentences as ja } from "./texts/ja-sentences.mjs";
import { code, tOr } from "./words.mjs";

/** @typedef {{pattern: RegExp, order: number[], ours: string, sure: boolean, joined: boolean}} Known sure: little else fits; joined: it has a semicolon */

const LONGEST = 1500; // letters; what is longer is no sentence of a list, and would take long to compare
const SURE = 18; // fixed letters from which on a sentence is known by them

/** @param {string} text */
const escaped = (text) => text.replace(/[.*+?^$()|[\]\\{}]/g, "\\$&");

/** @param {[string, string][]} pairs @returns {Known[]} */
function compiled(pairs) {
    /** @type {(text: string) => string[]} */
    const plain = (text) => text.split(/\{\d+\}/);
    // The more of a sentence is fixed, the surer it is meant.
    const sorted = [...pairs].sort((a, b) => plain(b[0]).join("").length - plain(a[0]).join("").length);
    return sorted.map(([theirs, ours]) => ({
        pattern: new RegExp(`^${plain(theirs).map(escaped).join("([^]+?)")}$`),
        order: [...theirs.matchAll(/\{(\d+)\}/g)].map((found) => Number(found[1])),
        ours,
        joined: theirs.includes(";"),
        sure: plain(theirs).join("").length >= SURE || plain(theirs)[0].length >= SURE / 2,
    }));
}

/** @type {Record<string, Known[]>} */
const LISTS = { en: compiled(en), ja: compiled(ja) };
/** What stands between sentences in a language, where English has another. @type {Record<string, Record<string, string>>} */
const JOINTS = { ja: { ";": "。", ",": "、", ":": "：" } };
/** @type {Map<string, string>} */
const known = new Map();

/** Break a text where its sentences are joined, outside of brackets. @param {string} text @param {string} joint */
function pieces(text, joint) {
    const found = [""];
    let depth = 0;
    for (const [at, letter] of [...text].entries()) {
        depth += "([".includes(letter) ? 1 : ")]".includes(letter) ? -1 : 0;
        if (!depth && letter === joint && text[at + 1] === " ") found.push("");
        else found[found.length - 1] += letter;
    }
    return found.map((piece) => piece.trim());
}

/** What one of the list's sentences makes of a text. @param {string} text @param {Known[]} list @param {boolean} loose those too that nearly anything fits @returns {string | null} */
function matched(text, list, loose) {
    for (const { pattern, order, ours, sure, joined } of list) {
        const found = sure || loose ? text.match(pattern) : null;
        // Two sentences are not one value, where the sentence itself is one.
        if (!found || (!joined && found.slice(1).some((value) => pieces(value, ";").length > 1))) continue;
        const values = new Map(order.map((number, at) => [number, found[at + 1]]));
        return ours.replace(/\{(\d+)\}/g, (_, number) => {
            const value = values.get(Number(number)) ?? "";
            return told(value, list) ?? value;
        });
    }
    return null;
}

/** @param {string} text @param {Known[]} list @returns {string | null} */
function told(text, list) {
    if (/^[a-z_]+\.[a-z0-9_]+$/.test(text)) {
        const label = tOr(`setting.${text}`, "");
        return label ? `「${label}」（${text}）` : null;
    }
    const whole = matched(text, list, false);
    if (whole !== null) return whole;
    for (const joint of [";", ","]) {
        const found = together(pieces(text, joint), list, joint);
        if (found !== null) return found;
    }
    const [, name, rest] = text.match(/^([^:]+): ([^]+)$/) ?? [];
    return (name && together([name, rest], list, ":")) || matched(text, list, true);
}

/** Sentences that stand together; null where none of them is known. @param {string[]} parts @param {Known[]} list @param {string} joint */
function together(parts, list, joint) {
    if (parts.length < 2) return null;
    const found = [];
    let isKnown = false;
    for (let at = 0; at < parts.length; ) {
        // A sentence may have the joint inside: the longest that is known
        let end = parts.length;
        let ours = null;
        for (; end > at + 1 && ours === null; end -= ours === null ? 1 : 0) {
            if (at || end < parts.length) ours = matched(parts.slice(at, end).join(`${joint} `), list, false);
        }
        ours ??= told(parts[at], list);
        isKnown ||= ours !== null;
        found.push(ours ?? parts[at]);
        at = Math.max(end, at + 1);
    }
    return isKnown ? found.join(JOINTS[code()]?.[joint] ?? `${joint} `) : null;
}

/** A text of the program's in the page's language. @param {string} text @returns {string} */
export function said(text) {
    if (text.length > LONGEST) return text;
    const key = `${code()} ${text}`;
    let answer = known.get(key);
    if (answer === undefined) {
        answer = told(text, LISTS[code()] ?? []) ?? text;
        if (known.size > 2000) known.clear(); // progress says another sentence each second
        known.set(key, answer);
    }
    return answer;
}
