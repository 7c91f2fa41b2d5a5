// The template of the class's prompts: wildcards marked, three samples of what it gives.
import { ask, ofWorkspace } from "./api.mjs";
import { html, useEffect, useState, useWatch } from "./core.mjs";
import { glance, name, typing } from "./state.mjs";
import { said } from "./sentences.mjs";
import { t } from "./words.mjs";

/** The template in pieces: plain text, __wildcards__ and {choices|of|these}. @param {string} text */
export function pieces(text) {
    return text.split(/(__[^_\s][^\s]*?__|\{[^{}]*\})/).filter(Boolean).map((piece) => ({ piece, isWild: /^(__.*__|\{.*\})$/.test(piece) }));
}

export function Template() {
    const seen = useWatch(glance);
    const character = useWatch(name);
    const { setting, text: typed } = useWatch(typing);
    const isTyped = setting === "regularization.template";
    const text = isTyped ? typed : String(seen?.settings["regularization.template"] ?? "");
    const [samples, setSamples] = useState(/** @type {string[]} */ ([]));
    const [turn, setTurn] = useState(0);
    const [bad, setBad] = useState("");
    useEffect(() => {
        let gone = false;
        const asked = new URLSearchParams({ first: String(turn * 3), ...(isTyped ? { template: text } : {}) });
        const load = () => ask(ofWorkspace(character, `prompts?${asked}`)).then(
            (told) => { if (!gone) { setSamples(told.prompts); setBad(""); } },
            (error) => { if (!gone) { setSamples([]); setBad(said(error.message)); } },
        );
        const timer = setTimeout(load, isTyped ? 250 : 0);
        return () => { gone = true; clearTimeout(timer); };
    }, [character, text, seen?.revision.settings, turn]);
    return html`<section class="template" aria-label=${t("template")}>
        <h3>${t("template")}</h3>
        <p class="code">${pieces(text).map(({ piece, isWild }) => (isWild ? html`<mark>${piece}</mark>` : piece))}</p>
        ${bad && html`<p class="note bad" role="alert">${bad}</p>`}
        <ol class="plain small-text" id="sl-samples">${samples.map((each) => html`<li>${each}</li>`)}</ol>
        <button type="button" class="small" onClick=${() => setTurn(turn + 1)}>${t("template.more")}</button>
    </section>`;
}
