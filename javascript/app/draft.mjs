// What is being typed into a field, kept until it is saved: what arrives from elsewhere meanwhile (another browser, a
// checkpoint that asks for another preset) must not write over it.
import { useState } from "./core.mjs";

/**
 * @param {string} saved the value as it is saved
 * @param {(text: string) => Promise<boolean>} save true once it is saved; a refused text stays, to be mended
 */
export function useDraft(saved, save) {
    const [draft, setDraft] = useState(/** @type {string | null} */ (null));
    return {
        value: draft ?? saved,
        onInput: (/** @type {any} */ event) => setDraft(event.target.value),
        onChange: async (/** @type {any} */ event) => {
            const text = event.target.value;
            setDraft(text);
            if (await save(text)) setDraft((now) => (now === text ? null : now));
        },
        onBlur: () => setDraft((now) => (now === saved ? null : now)),
    };
}
