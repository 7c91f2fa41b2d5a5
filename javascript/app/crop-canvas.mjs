// The canvas of the crops: boxes are drawn, moved and resized, by pointer, touch and keys.
import * as geometry from "./boxes.mjs";
import { html, useEffect, useRef } from "./core.mjs";
import { gestures } from "./gestures.mjs";
import { tell } from "./state.mjs";
import { Viewport, bitmap, sized } from "./viewport.mjs";
import { t } from "./words.mjs";

/** @typedef {geometry.Box} Box */
const REACH = 12; // CSS pixels around a handle
const REACH_OF_FINGERS = 24;
const STRIDE = 40; // CSS pixels that an arrow key pans, where no crop is chosen
/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** What is drawn and dragged; it lives as long as the canvas. */
class Editor {
    /** @param {HTMLElement} place @param {HTMLCanvasElement} under @param {HTMLCanvasElement} over */
    constructor(place, under, over) {
        this.place = place;
        this.under = under;
        this.over = over;
        this.view = new Viewport();
        /** @type {any} */
        this.props = null;
        /** @type {ImageBitmap | null} */
        this.image = null;
        /** @type {ImageBitmap | null} */
        this.coverage = null;
        /** @type {{kind: "move" | "resize" | "new", name: string, start: [number, number], from: Box, box: Box, handle: geometry.Handle} | null} */
        this.drag = null;
        this.asked = 0;
        this.stale = true;
    }

    /** Draw at the next frame. @param {boolean} [all] the picture too */
    redraw(all = false) {
        this.stale ||= all;
        this.asked ||= requestAnimationFrame(() => {
            this.asked = 0;
            this.draw();
        });
    }

    draw() {
        const { width, height } = this.view;
        if (this.stale && this.image) {
            const pen = sized(this.under, width, height);
            pen.clearRect(0, 0, width, height);
            this.view.draw(pen, this.image);
            if (this.coverage) {
                pen.globalAlpha = 0.65;
                this.view.draw(pen, this.coverage);
                pen.globalAlpha = 1;
            }
            this.stale = false;
        }
        const pen = sized(this.over, width, height);
        pen.clearRect(0, 0, width, height);
        let index = 0;
        for (const [name, box] of this.props.boxes) {
            const drag = this.drag;
            this.drawBox(pen, name, drag && drag.name === name ? drag.box : box, index++);
        }
        if (this.drag?.kind === "new") this.drawBox(pen, this.drag.name, this.drag.box, index);
    }

    /** @param {CanvasRenderingContext2D} pen @param {string} name @param {Box} box @param {number} index */
    drawBox(pen, name, box, index) {
        const { scale, x, y } = this.view;
        const [l, t_, r, b] = box.map((value, at) => value * scale + (at % 2 ? y : x));
        const colour = this.props.colours[index % this.props.colours.length];
        const isChosen = name === this.props.chosen || this.drag?.name === name;
        pen.lineWidth = isChosen ? 3 : 1.5;
        pen.strokeStyle = colour;
        pen.strokeRect(l, t_, r - l, b - t_);
        if (isChosen) {
            pen.fillStyle = `${colour}22`;
            pen.fillRect(l, t_, r - l, b - t_);
            pen.fillStyle = "#ffffff";
            for (const handle of /** @type {geometry.Handle[]} */ (Object.keys(geometry.HANDLES))) {
                const [hx, hy] = geometry.handleAt([l, t_, r, b], handle);
                pen.fillRect(hx - 5, hy - 5, 10, 10);
                pen.lineWidth = 1.5;
                pen.strokeRect(hx - 5, hy - 5, 10, 10);
            }
        }
        const label = name.replaceAll("_", " ");
        pen.font = "12px system-ui, sans-serif";
        const width = pen.measureText(label).width + 8;
        const top = t_ + 3 + 17 * (index % 4);
        pen.fillStyle = isChosen ? colour : "rgba(255, 255, 255, 0.85)";
        pen.fillRect(l + 3, top, width, 16);
        pen.fillStyle = isChosen ? "#ffffff" : colour;
        pen.fillText(label, l + 7, top + 12);
    }

    /** The crop at a point: the chosen one first, then the smallest. @param {number} x @param {number} y @returns {string} */
    at(x, y) {
        const found = [...this.props.boxes].filter(([, box]) => geometry.holds(box, x, y));
        if (found.some(([name]) => name === this.props.chosen)) return this.props.chosen;
        found.sort((a, b) => geometry.area(a[1]) - geometry.area(b[1]));
        return found[0]?.[0] ?? "";
    }

    /** @param {number} x @param {number} y @param {PointerEvent} event */
    down(x, y, event) {
        const point = this.view.toPicture(x, y);
        const reach = (event.pointerType === "touch" ? REACH_OF_FINGERS : REACH) / this.view.scale;
        const own = this.props.boxes.get(this.props.chosen);
        const handle = own && geometry.handleNear(own, ...point, reach);
        if (handle) {
            this.drag = { kind: "resize", name: this.props.chosen, start: point, from: own, box: own, handle };
            return this.redraw();
        }
        const name = event.shiftKey ? "" : this.at(...point);
        if (name) {
            const box = this.props.boxes.get(name);
            this.drag = { kind: "move", name, start: point, from: box, box, handle: "se" };
            this.props.onChoose(name);
        } else {
            const box = geometry.between(...point, ...point, this.view.picture);
            this.drag = { kind: "new", name: this.props.newName(), start: point, from: box, box, handle: "se" };
        }
        this.redraw();
    }

    /** @param {number} x @param {number} y */
    move(x, y) {
        const drag = this.drag;
        if (!drag) return;
        const point = this.view.toPicture(x, y);
        const [dx, dy] = [point[0] - drag.start[0], point[1] - drag.start[1]];
        const size = this.view.picture;
        if (drag.kind === "move") drag.box = geometry.moved(drag.from, dx, dy, size);
        else if (drag.kind === "resize") drag.box = this.snap(geometry.resized(drag.from, drag.handle, dx, dy, size), drag.handle);
        else {
            drag.box = geometry.between(...drag.start, ...point, size);
            drag.handle = `${dy < 0 ? "n" : "s"}${dx < 0 ? "w" : "e"}`;
            if (geometry.area(drag.box)) drag.box = this.snap(drag.box, drag.handle);
        }
        this.redraw();
    }

    /** @param {Box} box @param {geometry.Handle} handle */
    snap(box, handle) {
        return this.props.buckets.length ? geometry.snapped(box, this.props.buckets, this.view.picture, handle) : box;
    }

    up() {
        const drag = this.drag;
        this.drag = null;
        if (!drag) return;
        const small = drag.box[2] - drag.box[0] < geometry.SMALLEST || drag.box[3] - drag.box[1] < geometry.SMALLEST;
        if (drag.kind === "new") {
            if (small) this.props.onChoose("");
            else {
                this.props.onChoose(drag.name);
                this.props.onEdit(drag.name, drag.box, null);
            }
        } else this.props.onEdit(drag.name, drag.box);
        this.redraw();
    }

    /** @param {KeyboardEvent} event */
    key(event) {
        const arrow = ARROWS[event.key];
        const own = this.props.boxes.get(this.props.chosen);
        const size = this.view.picture;
        if (arrow && own && !event.altKey) {
            const far = event.ctrlKey ? 1 : Math.max(1, Math.round(size.width / 100));
            const [dx, dy] = [arrow[0] * far, arrow[1] * far];
            const handle = dx ? "e" : "s";
            const box = event.shiftKey ? this.snap(geometry.resized(own, handle, dx, dy, size), handle) : geometry.moved(own, dx, dy, size);
            this.props.onEdit(this.props.chosen, box);
        } else if (arrow && !event.altKey) this.view.pan(-arrow[0] * STRIDE, -arrow[1] * STRIDE);
        else if (event.key === "Escape" && own) this.props.onChoose("");
        else if (event.key === "+" || event.key === "=") this.view.zoom(1.25);
        else if (event.key === "-") this.view.zoom(0.8);
        else if (event.key === "0") this.view.fit();
        else return;
        event.preventDefault();
        this.redraw(true);
    }

    fit() {
        const { width, height } = this.place.getBoundingClientRect();
        this.view.resize(width, height);
        this.view.fit();
        this.redraw(true);
    }
}

/** @param {any} props */
export function CropCanvas(props) {
    const place = useRef(/** @type {HTMLDivElement | null} */ (null));
    const under = useRef(/** @type {HTMLCanvasElement | null} */ (null));
    const over = useRef(/** @type {HTMLCanvasElement | null} */ (null));
    const editor = useRef(/** @type {Editor | null} */ (null));
    useEffect(() => {
        if (!place.current || !under.current || !over.current) return;
        const made = new Editor(place.current, under.current, over.current);
        made.props = props;
        editor.current = made;
        const end = gestures(over.current, made.view, {
            down: (x, y, event) => { place.current?.focus({ preventScroll: true }); made.down(x, y, event); },
            move: (x, y) => made.move(x, y),
            up: () => made.up(),
            cancel: () => { made.drag = null; made.redraw(); },
            moved: () => made.redraw(true),
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
        bitmap(props.picture).then((image) => {
            const made = editor.current;
            if (gone || !made) return;
            made.image = image;
            const isNew = made.view.picture.width !== image.width || made.view.picture.height !== image.height;
            made.view.picture = { width: image.width, height: image.height };
            if (isNew) made.fit();
            made.redraw(true);
        }, tell);
        return () => { gone = true; };
    }, [props.picture]);
    useEffect(() => {
        const made = editor.current;
        if (!made) return;
        if (!props.coverage) {
            made.coverage = null;
            made.redraw(true);
        } else bitmap(props.coverage).then((image) => { made.coverage = image; made.redraw(true); }, tell);
    }, [props.coverage]);
    if (editor.current) {
        editor.current.props = props;
        editor.current.redraw();
    }
    const zoom = (/** @type {number} */ factor) => () => {
        const made = editor.current;
        if (!made) return;
        if (factor) made.view.zoom(factor);
        else made.view.fit();
        made.redraw(true);
    };
    return html`<div class="canvas-box">
        <div class="canvas" id="sl-crops" ref=${place} tabindex="0" role="application" aria-label=${t("crops.canvas")} onKeyDown=${(/** @type {KeyboardEvent} */ event) => editor.current?.key(event)}>
            <canvas ref=${under}></canvas><canvas ref=${over}></canvas>
        </div>
        <div class="zoom">
            <button type="button" class="icon" aria-label=${t("zoom.in")} onClick=${zoom(1.25)}>+</button>
            <button type="button" class="icon" aria-label=${t("zoom.out")} onClick=${zoom(0.8)}>−</button>
            <button type="button" class="icon" aria-label=${t("zoom.fit")} onClick=${zoom(0)}>⤢</button>
        </div>
        <p class="help">${t("crops.help")}</p>
    </div>`;
}
