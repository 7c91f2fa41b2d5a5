// A mask that is painted: its pixels (as alpha of white), strokes, flood, undo.
import { History } from "./history.mjs";

/** @typedef {{x: number, y: number, before: ImageData, after: ImageData}} Patch */
const FLOOD_SIDE = 1024; // pixels at which the flood looks

/** @param {number} width @param {number} height */
export function newCanvas(width, height) {
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    return canvas;
}

/** @param {HTMLCanvasElement} canvas */
function penOf(canvas) {
    return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
}

export class MaskLayer {
    /** @param {number} width @param {number} height */
    constructor(width, height) {
        this.canvas = newCanvas(width, height);
        this.pen = penOf(this.canvas);
        this.before = newCanvas(width, height);
        this.history = /** @type {History<Patch>} */ (new History());
        this.dirty = [Infinity, Infinity, -Infinity, -Infinity];
        /** @type {[number, number] | null} */
        this.last = null;
    }

    /** Take the values of a grey picture. @param {CanvasImageSource} image */
    load(image) {
        const { width, height } = this.canvas;
        this.pen.globalCompositeOperation = "copy";
        this.pen.drawImage(image, 0, 0, width, height);
        this.pen.globalCompositeOperation = "source-over";
        const pixels = this.pen.getImageData(0, 0, width, height);
        for (let at = 0; at < pixels.data.length; at += 4) {
            pixels.data[at + 3] = pixels.data[at];
            pixels.data[at] = pixels.data[at + 1] = pixels.data[at + 2] = 255;
        }
        this.pen.putImageData(pixels, 0, 0);
    }

    /** Before a change that `end` records. */
    begin() {
        const pen = penOf(this.before);
        pen.globalCompositeOperation = "copy";
        pen.drawImage(this.canvas, 0, 0);
        this.dirty = [Infinity, Infinity, -Infinity, -Infinity];
        /** @type {[number, number] | null} */
        this.last = null;
    }

    /** @param {number} l @param {number} t @param {number} r @param {number} b */
    touch(l, t, r, b) {
        const [dl, dt, dr, db] = this.dirty;
        this.dirty = [Math.min(dl, l), Math.min(dt, t), Math.max(dr, r), Math.max(db, b)];
    }

    /**
     * A piece of a stroke up to a point.
     * @param {number} x @param {number} y @param {number} radius @param {number} hardness 0 to 1 @param {boolean} erase
     */
    stroke(x, y, radius, hardness, erase) {
        const [fx, fy] = this.last ?? [x, y];
        const length = Math.hypot(x - fx, y - fy);
        const steps = Math.max(1, Math.ceil(length / Math.max(1, radius / 4)));
        this.pen.globalCompositeOperation = erase ? "destination-out" : "source-over";
        for (let step = this.last ? 1 : 0; step <= steps; step += 1) {
            const [cx, cy] = [fx + ((x - fx) * step) / steps, fy + ((y - fy) * step) / steps];
            if (hardness < 1) {
                const soft = this.pen.createRadialGradient(cx, cy, radius * hardness, cx, cy, radius);
                soft.addColorStop(0, "rgba(255,255,255,1)");
                soft.addColorStop(1, "rgba(255,255,255,0)");
                this.pen.fillStyle = soft;
            } else this.pen.fillStyle = "#ffffff";
            this.pen.beginPath();
            this.pen.arc(cx, cy, radius, 0, 2 * Math.PI);
            this.pen.fill();
        }
        this.pen.globalCompositeOperation = "source-over";
        this.touch(Math.min(x, fx) - radius, Math.min(y, fy) - radius, Math.max(x, fx) + radius, Math.max(y, fy) + radius);
        this.last = [x, y];
    }

    /** @param {[number, number, number, number]} box @param {boolean} erase */
    fill([l, t, r, b], erase) {
        this.begin();
        if (erase) this.pen.clearRect(l, t, r - l, b - t);
        else {
            this.pen.fillStyle = "#ffffff";
            this.pen.fillRect(l, t, r - l, b - t);
        }
        this.touch(l, t, r, b);
        this.end();
    }

    /** What is of one colour with a point and touches it. @param {CanvasImageSource} image @param {number} x @param {number} y @param {number} tolerance @param {boolean} erase */
    flood(image, x, y, tolerance, erase) {
        const scale = Math.min(1, FLOOD_SIDE / Math.max(this.canvas.width, this.canvas.height));
        const [w, h] = [Math.round(this.canvas.width * scale), Math.round(this.canvas.height * scale)];
        const small = newCanvas(w, h);
        const pen = penOf(small);
        pen.drawImage(image, 0, 0, w, h);
        const pixels = pen.getImageData(0, 0, w, h);
        const found = flooded(pixels.data, w, h, Math.floor(x * scale), Math.floor(y * scale), tolerance);
        for (let at = 0; at < found.length; at += 1) {
            pixels.data.set([255, 255, 255, found[at] ? 255 : 0], at * 4);
        }
        pen.putImageData(pixels, 0, 0);
        this.begin();
        this.pen.globalCompositeOperation = erase ? "destination-out" : "source-over";
        this.pen.drawImage(small, 0, 0, this.canvas.width, this.canvas.height);
        this.pen.globalCompositeOperation = "source-over";
        this.touch(0, 0, this.canvas.width, this.canvas.height);
        this.end();
    }

    /** Record what changed since `begin`. */
    end() {
        this.last = null;
        const l = Math.max(0, Math.floor(this.dirty[0]) - 1);
        const t = Math.max(0, Math.floor(this.dirty[1]) - 1);
        const r = Math.min(this.canvas.width, Math.ceil(this.dirty[2]) + 1);
        const b = Math.min(this.canvas.height, Math.ceil(this.dirty[3]) + 1);
        if (!(r > l && b > t)) return;
        this.history.add({
            x: l,
            y: t,
            before: penOf(this.before).getImageData(l, t, r - l, b - t),
            after: this.pen.getImageData(l, t, r - l, b - t),
        });
    }

    undo() {
        const patch = this.history.undo();
        if (patch) this.pen.putImageData(patch.before, patch.x, patch.y);
    }

    redo() {
        const patch = this.history.redo();
        if (patch) this.pen.putImageData(patch.after, patch.x, patch.y);
    }

    /** The mask as a PNG, white where it is painted. @returns {Promise<Blob>} */
    png() {
        const whole = newCanvas(this.canvas.width, this.canvas.height);
        const pen = penOf(whole);
        pen.fillStyle = "#000000";
        pen.fillRect(0, 0, whole.width, whole.height);
        pen.drawImage(this.canvas, 0, 0);
        return new Promise((resolve, reject) =>
            whole.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("PNG"))), "image/png"));
    }
}

/**
 * Which pixels have nearly the colour of one and are connected with it (four neighbours).
 * @param {Uint8ClampedArray} pixels RGBA @param {number} width @param {number} height
 * @param {number} x @param {number} y @param {number} tolerance of each channel
 * @returns {Uint8Array}
 */
export function flooded(pixels, width, height, x, y, tolerance) {
    const found = new Uint8Array(width * height);
    if (x < 0 || y < 0 || x >= width || y >= height) return found;
    const first = (y * width + x) * 4;
    const [r, g, b] = [pixels[first], pixels[first + 1], pixels[first + 2]];
    const fits = (/** @type {number} */ at) =>
        Math.abs(pixels[at * 4] - r) <= tolerance && Math.abs(pixels[at * 4 + 1] - g) <= tolerance && Math.abs(pixels[at * 4 + 2] - b) <= tolerance;
    const todo = [y * width + x];
    found[todo[0]] = 1;
    while (todo.length) {
        const at = /** @type {number} */ (todo.pop());
        const column = at % width;
        const next = [column > 0 ? at - 1 : -1, column < width - 1 ? at + 1 : -1, at - width, at + width];
        for (const other of next) {
            if (other >= 0 && other < found.length && !found[other] && fits(other)) {
                found[other] = 1;
                todo.push(other);
            }
        }
    }
    return found;
}
