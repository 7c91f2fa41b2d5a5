// Where a picture lies on a canvas: zoom, pan, and the way between the two systems of pixels.

export class Viewport {
    constructor() {
        this.scale = 1;
        this.x = 0; // of the picture's corner, on the canvas
        this.y = 0;
        this.width = 1; // of the canvas, CSS pixels
        this.height = 1;
        this.picture = { width: 1, height: 1 };
    }

    /** @param {number} width @param {number} height */
    resize(width, height) {
        this.width = width;
        this.height = height;
    }

    /** The whole picture, in the middle. */
    fit() {
        const { width, height } = this.picture;
        this.scale = Math.min(this.width / width, this.height / height) || 1;
        this.x = (this.width - width * this.scale) / 2;
        this.y = (this.height - height * this.scale) / 2;
    }

    /** @param {number} factor @param {number} [x] of the point that stays @param {number} [y] */
    zoom(factor, x = this.width / 2, y = this.height / 2) {
        const fitted = Math.min(this.width / this.picture.width, this.height / this.picture.height);
        const scale = Math.min(Math.max(this.scale * factor, fitted * 0.5), 16);
        this.x = x - ((x - this.x) * scale) / this.scale;
        this.y = y - ((y - this.y) * scale) / this.scale;
        this.scale = scale;
    }

    /** @param {number} dx @param {number} dy */
    pan(dx, dy) {
        this.x += dx;
        this.y += dy;
    }

    /** A point of the canvas on the picture. @param {number} x @param {number} y @returns {[number, number]} */
    toPicture(x, y) {
        return [(x - this.x) / this.scale, (y - this.y) / this.scale];
    }

    /** Draw the picture. @param {CanvasRenderingContext2D} pen @param {CanvasImageSource} image */
    draw(pen, image) {
        pen.imageSmoothingEnabled = this.scale < 3;
        pen.drawImage(image, this.x, this.y, this.picture.width * this.scale, this.picture.height * this.scale);
    }
}

/**
 * Fit a canvas to its place and the screen's pixels; its pen in CSS pixels.
 * @param {HTMLCanvasElement} canvas
 * @param {number} width @param {number} height
 * @returns {CanvasRenderingContext2D}
 */
export function sized(canvas, width, height) {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== w || canvas.height !== h) {
        canvas.width = w;
        canvas.height = h;
    }
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    return pen;
}

/** @param {string} url @returns {Promise<ImageBitmap>} */
export async function bitmap(url) {
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    return createImageBitmap(await answer.blob());
}
