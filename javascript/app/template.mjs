// The template of the class's prompts: wildcards marked, three samples of what it gives.
import { ask, ofWorkspace } from "./api.mjs";
import { html, useEffect, useState, useWatch } from "./core.mjs";
import { glance, name } from "./state.mjs";
import { t } from "./words.mjs";

/** The template in pieces: plain text, __wildcards__ and {choices|of|these}. @param {string} text */
export function pieces(text) {
    return text.split(/(__[^_\s][^\s]*?__|\{[^{}]*\})/).filter(Boolean).map((piece) => ({ piece, isWild: /^(__.*__|\{.*\})$/.test(piece) }));
}

export function Template() {
    const seen = useWatch(glance);
    const character = useWatch(name);
    const text = String(seen?.settings["regularization.template"] ?? "");
    const [samples, setSamples] = useState(/** @type {string[]} */ ([]));
    const [turn, setTurn] = useState(0);
    const [bad, setBad] = useState("");
    useEffect(() => {
        let gone = false;
        ask(ofWorkspace(character, `prompts?first=${turn * 3}`)).then(
            (told) => { if (!gone) { setSamples(told.prompts); setBad(""); } },
            (error) => { if (!gone) { setSamples([]); setBad(error.message); } },
        );
        return () => { gone = true; };
    }, [character, text, seen?.revision.settings, turn]);
    return html`<section class="template" aria-label=${t("template")}>
        <h3>${t("template")}</h3>
        <p class="code">${pieces(text).map(({ piece, isWild }) => (isWild ? html`<mark>${piece}</mark>` : piece))}</p>
        ${bad && html`<p class="note bad" role="alert">${bad}</p>`}
        <ol class="plain small-text" id="sl-samples">${samples.map((each) => html`<li>${each}</li>`)}</ol>
        <button type="button" class="small" onClick=${() => setTurn(turn + 1)}>${t("template.more")}</button>
    </section>`;
}
