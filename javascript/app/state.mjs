// What the page knows, as signals, and how it comes to know it.
import { ask, ofWorkspace } from "./api.mjs";
import { batch, computed, signal } from "./core.mjs";
import { said as inWords } from "./sentences.mjs";

/** @typedef {import("./types.d.ts").Job} Job */
/** @typedef {import("./types.d.ts").Glance} Glance */
/** @typedef {import("./types.d.ts").Dataset} Dataset */
/** @typedef {import("./types.d.ts").Declaration} Declaration */

const KEY = "singlelora-workspace";

export const jobs = signal(/** @type {Job[]} */ ([]));
export const workspaces = signal(/** @type {string[] | null} */ (null));
export const checkpoint = signal({ name: "", checkpoint: "" });
/** The program that the page is in, and the kinds of ControlNet's units that it has. */
export const program = signal({ title: "", controls: /** @type {string[]} */ ([]) });
/** The open workspace; "" for none: a new character. */
export const name = signal(sessionStorage.getItem(KEY) ?? "");
export const glance = signal(/** @type {Glance | null} */ (null));
export const dataset = signal(/** @type {Dataset | null} */ (null));
/** What a crop is worth: buckets of the training, the picture's size, own pixels by each of its. */
export const shapes = signal({ buckets: /** @type {[number, number][]} */ ([]), scale: 1, size: /** @type {[number, number]} */ ([512, 512]), of: "" });
export const step = signal("source");
/** What is being typed into a setting, before it is saved. */
export const typing = signal({ setting: "", text: "" });
/** "connecting", "open" or "lost". */
export const connection = signal("connecting");
export const declarations = signal(/** @type {Declaration[]} */ ([]));
/** @type {import("./vendor/signals.mjs").Signal<{id: number, text: string, bad: boolean, undo?: () => void}[]>} */
export const notes = signal([]);

export const running = computed(() => jobs.value.find((job) => job.state === "running") ?? null);
export const ownJob = computed(() =>
    jobs.value.find((job) => job.state === "running" && job.workspace === name.value) ?? null);

/** Open a workspace, or none. @param {string} chosen */
export function open(chosen) {
    sessionStorage.setItem(KEY, chosen);
    if (chosen === name.value) return;
    batch(() => {
        name.value = chosen;
        glance.value = null;
        dataset.value = null;
        shapes.value = { buckets: [], scale: 1, size: [512, 512], of: "" };
    });
    mended();
}

let loading = /** @type {Promise<void> | null} */ (null);
let again = false;
let edits = 0;
/** Changes of settings that are being saved, and of which workspace. */
const pending = /** @type {Map<Promise<unknown>, string>} */ (new Map());
/** @param {string} of @returns {Promise<unknown>[]} */
const pendingOf = (of) => [...pending].filter(([, each]) => each === of).map(([saving]) => saving);

/**
 * Load what the open workspace holds; calls that come meanwhile make one more load. It ends when
 * what was so at the call is shown, or could not be loaded: a load that began before may have read
 * what was so before.
 * @returns {Promise<void>}
 */
export function reload() {
    again = true;
    loading ??= load();
    return loading;
}

async function load() {
    await null; // `loading` is set before this can end
    try {
        do {
            again = false;
            await loadOnce(name.value);
            // What was read before a change would have shown the value from before it.
            const saving = pendingOf(name.value);
            if (saving.length) {
                await Promise.allSettled(saving);
                again = true;
            }
        } while (again);
    } finally {
        loading = null;
    }
}

/** @param {string} asked */
async function loadOnce(asked) {
    if (!asked) return;
    const begun = edits;
    let wrong = null;
    try {
        const [seen, data] = await Promise.all([
            ask(ofWorkspace(asked, "glance")),
            ask(ofWorkspace(asked, "dataset")).catch((error) => {
                if (error.status === 404) return null;
                wrong = error;
                return dataset.value; // what is shown stays
            }),
        ]);
        if (pendingOf(asked).length) return;
        if (asked !== name.value || begun !== edits) {
            again = true;
            return;
        }
        batch(() => {
            glance.value = seen;
            dataset.value = data;
        });
        loadShapes(asked, seen);
        if (wrong) failed(wrong);
        else mended();
    } catch (error) {
        const isGone = /** @type {any} */ (error).status === 404;
        if (isGone && asked === name.value) open("");
        else if (!isGone && asked === name.value) failed(error);
    }
}

/** Why the workspace cannot be loaded, and the line that tells it. */
let trouble = { why: "", line: 0 };

/** Tell it once: each change on disk loads anew. @param {any} error */
function failed(error) {
    if (error.message === trouble.why) return;
    mended();
    trouble = { why: error.message, line: tell(error) };
}

/** Everything is loaded: what was told is over. */
function mended() {
    if (trouble.why) dismiss(trouble.line);
    trouble = { why: "", line: 0 };
}

/** The shapes of a prepared picture, where picture or settings are others than before. @param {string} asked @param {Glance} seen */
function loadShapes(asked, seen) {
    const of = [asked, seen.revision.source, seen.revision.settings].join(" ");
    if (!seen.prepared || shapes.value.of === of) return;
    ask(ofWorkspace(asked, "buckets")).then((told) => { if (asked === name.value) shapes.value = { ...told, of }; }, () => {});
}

/** All settings' declarations, once. */
export async function loadDeclarations() {
    if (!declarations.value.length) declarations.value = await ask("settings");
}

/** The program around the page; ControlNet may come with a restart, so each page asks. */
export async function loadProgram() {
    program.value = await ask("host");
}

let count = 0;

/**
 * A line for the user, which goes by itself unless it is an error.
 * @param {unknown} said an error, or text
 * @param {() => void} [undo]
 * @returns {number} what it is dismissed by
 */
export function tell(said, undo) {
    const bad = said instanceof Error;
    const note = { id: ++count, text: bad ? inWords(said.message) : String(said), bad, undo };
    notes.value = [...notes.value.filter((each) => each.text !== note.text).slice(-3), note];
    if (!bad) setTimeout(() => dismiss(note.id), undo ? 12000 : 6000);
    return note.id;
}

/** @param {number} id */
export function dismiss(id) {
    notes.value = notes.value.filter((note) => note.id !== id);
}

/**
 * Do something and tell what went wrong; true if nothing did.
 * @param {() => Promise<unknown>} work
 */
export async function attempt(work) {
    try {
        await work();
        // What went wrong before was mended, or is of no matter any more; not so what cannot be loaded.
        const isOver = (/** @type {{id: number, bad: boolean}} */ note) => note.bad && note.id !== trouble.line;
        if (notes.value.some(isOver)) notes.value = notes.value.filter((note) => !isOver(note));
        return true;
    } catch (error) {
        tell(error);
        return false;
    }
}

/** Change settings of the open workspace. @param {Record<string, unknown>} values */
export async function change(values) {
    const asked = name.value;
    const before = glance.value;
    edits += 1;
    const saving = ask(ofWorkspace(asked), { method: "PATCH", body: values });
    pending.set(saving, asked);
    try {
        if (before) glance.value = { ...before, settings: { ...before.settings, ...values } };
        await saving;
    } catch (error) {
        if (glance.value && before && asked === name.value) glance.value = before;
        throw error;
    } finally {
        pending.delete(saving);
    }
    await reload();
}

/**
 * Queue a stage, or "run" for all.
 * @param {string} stage
 * @param {Record<string, unknown>} [more]
 */
export async function run(stage, more = {}) {
    await ask(ofWorkspace(name.value, "jobs"), { body: { stage, ...more } });
}

/** The state of one step. @param {string} of */
export function stepState(of) {
    return glance.value?.steps.find((each) => each.name === of) ?? null;
}
