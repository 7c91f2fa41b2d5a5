// Keeps the job panel of the tab "Single LoRA" alive inside the WebUI, whose gradio has no timer,
// and shows new LoRA files in its extra-networks tabs without a restart.
(function () {
    "use strict";
    const SECONDS = 1;
    let ended = null;

    function app() {
        return typeof gradioApp === "function" ? gradioApp() : document;
    }

    function tick() {
        const panel = app().querySelector("#singlelora_job .singlelora-job");
        if (panel && ended !== null && panel.dataset.ended !== ended) {
            for (const tab of ["txt2img", "img2img"]) {
                const refresh = app().querySelector(`#${tab}_lora_extra_refresh`);
                if (refresh) refresh.click();
            }
        }
        if (panel) ended = panel.dataset.ended;
        const tab = app().querySelector("#tab_singlelora");
        const shown = tab && tab.style.display !== "none";
        const running = panel && (panel.dataset.state === "running" || panel.dataset.state === "waiting");
        if (!document.hidden && (shown || running)) {
            const button = app().querySelector("#singlelora_poll");
            if (button) button.click();
        }
    }

    document.addEventListener("DOMContentLoaded", () => setInterval(tick, SECONDS * 1000));
})();
