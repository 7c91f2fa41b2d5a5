// Puts the page into the tab "Single LoRA": the element <single-lora> of app/main.mjs, which the HTTP
// API serves.  The WebUI loads this file by itself; the standalone page has it in its head.
(function () {
    "use strict";
    const PLACE = "singlelora_app";

    function place() {
        const app = typeof gradioApp === "function" ? gradioApp() : document;
        return app.querySelector(`#${PLACE}`);
    }

    function mount(found) {
        found.dataset.mounted = "yes";
        if (found.dataset.key) {
            // Where the API has users and the page has no login, this lets the page use the API.
            document.cookie = `singlelora-page=${found.dataset.key}; path=/; SameSite=Strict`;
        }
        const base = document.baseURI.split(/[?#]/)[0].replace(/[^/]*$/, "");
        import(`${base}singlelora/v1/app/main.mjs`).then(
            (app) => app.mount(found),
            (error) => {
                delete found.dataset.mounted;
                found.textContent = `Single LoRA: ${error.message}`;
            },
        );
    }

    function look() {
        const found = place();
        if (found && !found.dataset.mounted) mount(found);
    }

    // gradio draws its tabs when it likes, and anew after "Reload UI" or a lost connection.
    setInterval(look, 500);
    document.addEventListener("DOMContentLoaded", look);
})();
