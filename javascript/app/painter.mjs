// The mask painter: brush, eraser, flood and boxes over a picture, with undo.
import { classes, html, useEffect, useRef, useState } from "./core.mjs";
import { gestures } from "./gestures.mjs";
import { isTyping } from "./keys.mjs";
import { MaskLayer, newCanvas } from "./mask-layer.mjs";
import { tell } from "./state.mjs";
import { Viewport, bitmap, sized } from "./viewport.mjs";
import { t } from "./words.mjs";

const TOLERANCE = 28; // of the flood, of 255
/** How far arrow keys pan, CSS pixels. @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
const TOOLS = ["brush", "eraser", "flood"];

class Sheet {
    /** @param {HTMLElement} place @param {HTMLCanvasElement} canvas */
    constructor(place, canvas) {
        this.place = place;
        this.canvas = canvas;
        this.view = new Viewport();
        this.image = /** @type {ImageBitmap | null} */ (null);
        this.layer = /** @type {MaskLayer | null} */ (null);
        this.tint = newCanvas(1, 1);
        /** @type {[number, number] | null} */
        this.mouse = null;
        this.asked = 0;
        this.props = /** @type {any} */ ({});
        this.tool = "brush";
        this.radius = 24;
        this.hardness = 0.8;
        this.changed = () => {};
    }

    redraw() {
        this.asked ||= requestAnimationFrame(() => {
            this.asked = 0;
            this.draw();
        });
    }

    draw() {
        const { width, height } = this.view;
        const pen = sized(this.canvas, width, height);
        pen.clearRect(0, 0, width, height);
        if (!this.image) return;
        this.view.draw(pen, this.image);
        if (this.layer) {
            const tint = sized(this.tint, width, height);
            tint.globalCompositeOperation = "copy";
            tint.fillStyle = this.props.inverse ? "rgb(214, 40, 40)" : "rgb(29, 111, 209)";
            tint.fillRect(this.view.x, this.view.y, this.image.width * this.view.scale, this.image.height * this.view.scale);
            tint.globalCompositeOperation = this.props.inverse ? "destination-out" : "destination-in";
            this.view.draw(tint, this.layer.canvas);
            pen.globalAlpha = 0.55;
            pen.drawImage(this.tint, 0, 0, width, height);
            pen.globalAlpha = 1;
        }
        if (this.mouse && this.tool !== "flood") {
            for (const [colour, wide] of /** @type {const} */ ([["#000000", 3], ["#ffffff", 1.5]])) {
                pen.strokeStyle = colour;
                pen.lineWidth = wide;
                pen.beginPath();
                pen.arc(...this.mouse, Math.max(2, this.radius * this.view.scale), 0, 2 * Math.PI);
                pen.stroke();
            }
        }
    }

    /** @param {number} x @param {number} y @param {boolean} erase of a flood */
    down(x, y, erase) {
        if (!this.layer || !this.image) return;
        const point = this.view.toPicture(x, y);
        if (this.tool === "flood") {
            this.layer.flood(this.image, ...point, TOLERANCE, erase);
            this.changed();
        } else {
            this.layer.begin();
            this.paint(x, y);
        }
        this.redraw();
    }

    /** @param {number} x @param {number} y */
    paint(x, y) {
        this.mouse = [x, y];
        if (this.tool !== "flood") {
            this.layer?.stroke(...this.view.toPicture(x, y), this.radius, this.hardness, this.tool === "eraser");
        }
        this.redraw();
    }

    up() {
        if (this.tool === "flood") return;
        this.layer?.end();
        this.changed();
    }

    fit() {
        const { width, height } = this.place.getBoundingClientRect();
        this.view.resize(width, height);
        this.view.fit();
        this.redraw();
    }
}

/**
 * @param {{id: string, picture: string, mask?: string, inverse?: boolean, boxes?: Map<string, any>,
 *     save?: string, onSave?: (layer: MaskLayer) => void, onLayer?: (layer: MaskLayer | null) => void}} props
 *     inverse: red lies where nothing is painted; else blue where something is
 */
export function Painter({ id, picture, mask = "", inverse = false, boxes, save, onSave, onLayer }) {
    const place = useRef(/** @type {HTMLDivElement | null} */ (null));
    const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
    const sheet = useRef(/** @type {Sheet | null} */ (null));
    const [tool, setTool] = useState("brush");
    const [radius, setRadius] = useState(24);
    const [hardness, setHardness] = useState(0.8);
    const [changes, count] = useState(0);
    useEffect(() => {
        if (!place.current || !canvas.current) return;
        const made = new Sheet(place.current, canvas.current);
        made.changed = () => count((number) => number + 1);
        sheet.current = made;
        const end = gestures(canvas.current, made.view, {
            down: (x, y, event) => { place.current?.focus({ preventScroll: true }); made.down(x, y, event.shiftKey); },
            move: (x, y) => made.paint(x, y),
            up: () => made.up(),
            cancel: () => { made.layer?.end(); made.layer?.undo(); made.redraw(); },
            hover: (x, y) => { made.mouse = [x, y]; made.redraw(); },
            moved: () => made.redraw(),
        });
        const watch = new ResizeObserver(() => made.fit());
        watch.observe(place.current);
        return () => {
            end();
            watch.disconnect();
            cancelAnimationFrame(made.asked);
        };
    }, []);
    useEffect(() => {
        let gone = false;
        const load = async () => {
            const [image, values] = await Promise.all([bitmap(picture), mask ? bitmap(mask) : null]);
            const made = sheet.current;
            if (gone || !made) return;
            made.image = image;
            made.view.picture = { width: image.width, height: image.height };
            made.layer = new MaskLayer(image.width, image.height);
            if (values) made.layer.load(values);
            // What is redrawn is larger than what a mask is mended by.
            setRadius(Math.max(4, Math.round(Math.max(image.width, image.height) / (inverse ? 50 : 20))));
            made.fit();
            count(0);
            onLayer?.(made.layer);
        };
        load().catch((error) => !gone && tell(error));
        return () => { gone = true; };
    }, [picture, mask]);
    if (sheet.current) {
        Object.assign(sheet.current, { tool, radius, hardness, props: { inverse } });
        sheet.current.redraw();
    }
    const layer = sheet.current?.layer;
    const act = (/** @type {() => void} */ work) => () => {
        work();
        count((number) => number + 1);
        sheet.current?.redraw();
    };
    /** @param {KeyboardEvent} event */
    const pressed = (event) => {
        if (isTyping(event)) return;
        const key = event.key.toLowerCase();
        if ((event.ctrlKey || event.metaKey) && key === "z") act(() => (event.shiftKey ? layer?.redo() : layer?.undo()))();
        else if (key === "[") setRadius(Math.max(1, Math.round(radius * 0.8)));
        else if (key === "]") setRadius(Math.min(400, Math.round(radius * 1.25) + 1));
        else if (key === "b") setTool("brush");
        else if (key === "e") setTool("eraser");
        else if (ARROWS[event.key] && place.current?.matches(":focus") && !event.altKey) sheet.current?.view.pan(...ARROWS[event.key]);
        else if (key === "0") sheet.current?.fit();
        else if (key === "+" || key === "=") sheet.current?.view.zoom(1.25);
        else if (key === "-") sheet.current?.view.zoom(0.8);
        else return;
        event.preventDefault();
        sheet.current?.redraw();
    };
    return html`<div class="painter" onKeyDown=${pressed}>
        <div class="row tools" role="toolbar" aria-label=${t("paint.tools")}>
            ${TOOLS.map((each) => html`<button type="button" key=${each} class=${classes("small", tool === each && "is-chosen")} aria-pressed=${String(tool === each)} onClick=${() => setTool(each)}>${t(`paint.${each}`)}</button>`)}
            <label class="inline">${t("paint.size")} <input type="range" min="1" max="400" value=${radius} onInput=${(/** @type {any} */ event) => setRadius(Number(event.target.value))} /></label>
            <label class="inline">${t("paint.hardness")} <input type="range" min="0" max="1" step="0.05" value=${hardness} onInput=${(/** @type {any} */ event) => setHardness(Number(event.target.value))} /></label>
            ${boxes && boxes.size > 0 && html`<label class="inline">${t("paint.box")}
                <select value="" onChange=${(/** @type {any} */ event) => { const box = boxes.get(event.target.value); if (box) act(() => layer?.fill(box, tool === "eraser"))(); event.target.value = ""; }}>
                    <option value="">–</option>${[...boxes.keys()].map((each) => html`<option value=${each}>${each.replaceAll("_", " ")}</option>`)}
                </select></label>`}
            <button type="button" class="small" disabled=${!layer?.history.past.length} onClick=${act(() => layer?.undo())}>${t("undo")}</button>
            <button type="button" class="small" disabled=${!layer?.history.future.length} onClick=${act(() => layer?.redo())}>${t("redo")}</button>
            ${save && html`<button type="button" class="small primary" id=${`${id}-save`} disabled=${!changes || !layer?.history.past.length} onClick=${() => layer && onSave?.(layer)}>${save}</button>`}
        </div>
        <div class="canvas" id=${id} ref=${place} tabindex="0" role="application" aria-label=${t(inverse ? "paint.mask" : "paint.redraw")}>
            <canvas ref=${canvas}></canvas>
        </div>
        <p class="help">${t(inverse ? "paint.mask.help" : "paint.redraw.help")}</p>
    </div>`;
}
