// The one stream of events: opened, kept open, opened again after a break.
import { at } from "./api.mjs";
import { effect } from "./core.mjs";
import { checkpoint, connection, jobs, name, reload, workspaces } from "./state.mjs";

const SILENT = 25000; // milliseconds without a line, after which the connection counts as lost
const PATIENCE = [500, 1000, 2000, 5000]; // milliseconds before the next attempts

/** @type {EventSource | null} */
let source = null;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
let attempts = 0;
let heard = 0;
let told = "";
let stages = "";

/** Listen from now on; the function ends it. */
export function listen() {
    const stop = effect(() => {
        void name.value; // another workspace is another stream
        connect();
    });
    const guard = setInterval(() => {
        if (source && Date.now() - heard > SILENT) lost();
    }, 5000);
    const seen = () => (document.hidden ? close() : connect());
    document.addEventListener("visibilitychange", seen);
    return () => {
        stop();
        clearInterval(guard);
        document.removeEventListener("visibilitychange", seen);
        close();
    };
}

function close() {
    clearTimeout(timer);
    source?.close();
    source = null;
}

function connect() {
    close();
    told = "";
    stages = "";
    // A page that nobody sees takes one of the few connections that a browser grants a server.
    if (document.hidden) return;
    heard = Date.now();
    const asked = name.peek();
    source = new EventSource(at(`events?workspace=${encodeURIComponent(asked)}`));
    source.onopen = () => {
        attempts = 0;
        heard = Date.now();
        connection.value = "open";
    };
    source.onerror = lost;
    on("alive", () => {});
    on("jobs", (value) => {
        jobs.value = value;
        // The steps' states follow the stage that runs, though no file has changed yet.
        const own = value.filter((/** @type {import("./types.d.ts").Job} */ job) => job.workspace === asked);
        const now = JSON.stringify(own.map((/** @type {import("./types.d.ts").Job} */ job) => [job.id, job.state, job.stage]));
        if (asked && stages && now !== stages) reload();
        stages = now;
    });
    on("workspaces", (value) => {
        workspaces.value = value;
        // It was deleted elsewhere, or is newer than this list: asking for it tells.
        if (asked && !value.includes(asked)) reload();
    });
    on("checkpoint", (value) => {
        const before = checkpoint.peek();
        if (before.name !== value.name || before.checkpoint !== value.checkpoint) {
            checkpoint.value = value;
            if (asked) reload();
        }
    });
    on("workspace", (value) => {
        const now = JSON.stringify(value);
        if (now !== told && value.name === name.peek()) {
            told = now;
            reload();
        }
    });
}

/** @param {string} event @param {(value: any) => void} take */
function on(event, take) {
    source?.addEventListener(event, (message) => {
        heard = Date.now();
        take(JSON.parse(message.data));
    });
}

function lost() {
    close();
    connection.value = "lost";
    timer = setTimeout(connect, PATIENCE[Math.min(attempts++, PATIENCE.length - 1)]);
}
