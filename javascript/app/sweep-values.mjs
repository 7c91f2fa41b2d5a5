// Which settings may be tried with several values, and with which.

/**
 * Values around the present one.
 * @param {import("./types.d.ts").Declaration} declared @param {any} value
 * @returns {string}
 */
export function around(declared, value) {
    if (declared.kind === "bool") return "true,false";
    if (declared.kind === "int" || declared.kind === "float") {
        const number = Number(value) || 1;
        const fits = (/** @type {number} */ each) => (declared.low === null || each >= declared.low) && (declared.high === null || each <= declared.high);
        const shown = (/** @type {number} */ each) => (declared.kind === "int" ? Math.round(each) : Number(each.toPrecision(3)));
        return [...new Set([number / 2, number, number * 2].map(shown))].filter(fits).join(",");
    }
    return declared.choices.slice(0, 4).join(",");
}

/** True for a setting that trials may differ in. @param {import("./types.d.ts").Declaration} declared */
export function canVary(declared) {
    const isPlain = ["int", "float", "bool"].includes(declared.kind) || (declared.kind === "str" && declared.choices.length > 1);
    return declared.name.startsWith("training.") && isPlain;
}
