// The HTTP API as functions.  Where it lies is relative to this file: .../singlelora/v1/app/.
const BASE = new URL("../", import.meta.url);

/** An answer that says what was found, what was expected and what to do. */
export class ApiError extends Error {
    /** @param {number} status @param {string} message */
    constructor(status, message) {
        super(message);
        this.status = status;
    }
}

/** @param {string} path @returns {string} */
export function at(path) {
    return new URL(path, BASE).href;
}

/** @param {string} name @param {string} rest @returns {string} */
export function ofWorkspace(name, rest = "") {
    return `workspaces/${encodeURIComponent(name)}${rest && `/${rest}`}`;
}

/**
 * @param {string} path
 * @param {{method?: string, body?: unknown}} [options]
 * @returns {Promise<any>}
 */
export async function ask(path, { method, body } = {}) {
    const head = body === undefined ? undefined : { "Content-Type": "application/json" };
    const sent = body === undefined ? undefined : JSON.stringify(body);
    const verb = method ?? (body === undefined ? "GET" : "POST");
    const answer = await fetch(at(path), { method: verb, headers: head, body: sent });
    const text = await answer.text();
    if (!answer.ok) throw new ApiError(answer.status, detail(text, answer.status));
    return text ? JSON.parse(text) : null;
}

/** @param {string} text @param {number} status */
function detail(text, status) {
    try {
        const told = JSON.parse(text).detail;
        return typeof told === "string" ? told : JSON.stringify(told);
    } catch {
        return `HTTP ${status}`;
    }
}

/**
 * A file of a workspace.
 * @param {string} name @param {string} file relative
 * @param {string} [revision] another text whenever the file may be another one
 */
export function fileUrl(name, file, revision = "") {
    const path = file.split("/").map(encodeURIComponent).join("/");
    return at(`${ofWorkspace(name, `files/${path}`)}${revision && `?r=${revision}`}`);
}

/** The same picture, small. @param {string} name @param {string} file @param {number} side */
export function thumbUrl(name, file = "", side = 96, revision = "") {
    const asked = new URLSearchParams({ file, side: String(side), r: revision });
    return at(`${ofWorkspace(name, "thumbnail")}?${asked}`);
}

const SHOWN = /\.(png|jpe?g|webp|gif|bmp|avif)$/i;

/** A picture that the user gave: of a kind that no browser shows (TIFF, JPEG 2000) its small copy. @param {string} name @param {string} file */
export function givenUrl(name, file, revision = "") {
    return SHOWN.test(file) ? fileUrl(name, file, revision) : thumbUrl(name, file, 512, revision);
}

/** The bytes of a file in base64. @param {Blob} blob @returns {Promise<string>} */
export function base64(blob) {
    return new Promise((resolve, reject) => {
        const reader = new FileReader();
        reader.onerror = () => reject(reader.error);
        reader.onload = () => resolve(String(reader.result).split(",")[1] ?? "");
        reader.readAsDataURL(blob);
    });
}
