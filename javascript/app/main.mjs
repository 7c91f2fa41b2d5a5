// The element <single-lora>: the whole page in a shadow root, so that no host's styles reach in.
import { html, render } from "./core.mjs";
import { Page } from "./page.mjs";
import { listen } from "./events.mjs";
import { refreshLoras } from "./host.mjs";
import { loadDeclarations, loadProgram, attempt } from "./state.mjs";

class SingleLora extends HTMLElement {
    connectedCallback() {
        const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
        if (!root.firstChild) {
            const style = document.createElement("link");
            style.rel = "stylesheet";
            style.href = new URL("style.css", import.meta.url).href;
            const place = document.createElement("div");
            place.className = "page";
            // Shown once its style is there: without it everything would jump.
            place.hidden = true;
            style.onload = style.onerror = () => {
                place.hidden = false;
            };
            root.append(style, place);
            render(html`<${Page} />`, place);
        }
        const ends = [listen(), refreshLoras()];
        this.stop = () => ends.forEach((end) => end());
        attempt(loadDeclarations);
        attempt(loadProgram);
    }

    disconnectedCallback() {
        this.stop?.();
    }
}

if (!customElements.get("single-lora")) customElements.define("single-lora", SingleLora);

/** Put the page into an element of the host's. @param {Element} place */
export function mount(place) {
    if (!place.querySelector("single-lora")) place.append(document.createElement("single-lora"));
}
