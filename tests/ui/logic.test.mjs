// The page's pure parts, without a browser: geometry of crops, tags, masks, texts.  Run by node --test.
import assert from "node:assert/strict";
import { test } from "node:test";

globalThis.window ??= /** @type {any} */ ({});
const app = new URL("../../javascript/app/", import.meta.url);
const boxes = await import(new URL("boxes.mjs", app));
const tags = await import(new URL("tags.mjs", app));
const drag = await import(new URL("tag-drag.mjs", app));
const { flooded } = await import(new URL("mask-layer.mjs", app));
const { History } = await import(new URL("history.mjs", app));
const { around, canVary } = await import(new URL("sweep-values.mjs", app));
const { en } = await import(new URL("texts/en.mjs", app));
const { ja } = await import(new URL("texts/ja.mjs", app));
const { inTurn } = await import(new URL("turns.mjs", app));
const SIZE = { width: 100, height: 80 };
const BUCKETS = [[64, 64], [48, 96], [96, 48]];

test("edits are made one after the other, whatever becomes of one", async () => {
    /** @type {string[]} */
    const seen = [];
    const slow = inTurn(async () => {
        await new Promise((resolve) => setTimeout(resolve, 20));
        seen.push("edit");
    });
    const bad = inTurn(async () => { throw new Error("refused"); });
    const undo = inTurn(async () => seen.push("undo"));
    await assert.rejects(bad, /refused/);
    await Promise.all([slow, undo]);
    assert.deepEqual(seen, ["edit", "undo"]);
});

test("a box stays inside the picture when it is moved", () => {
    assert.deepEqual(boxes.moved([10, 10, 30, 30], -50, 500, SIZE), [0, 60, 20, 80]);
});

test("a handle moves its own sides only, and never past the others", () => {
    assert.deepEqual(boxes.resized([10, 10, 30, 30], "e", 5, 99, SIZE), [10, 10, 35, 30]);
    assert.deepEqual(boxes.resized([10, 10, 30, 30], "nw", 99, 99, SIZE), [22, 22, 30, 30]);
    assert.deepEqual(boxes.resized([10, 10, 30, 30], "se", 999, 999, SIZE), [10, 10, 100, 80]);
});

test("a box snaps to the shape of the nearest bucket and stays inside", () => {
    for (const handle of Object.keys(boxes.HANDLES)) {
        for (const box of [[0, 0, 50, 45], [10, 0, 90, 30], [50, 10, 70, 80], [0, 0, 100, 80]]) {
            const [l, t, r, b] = boxes.snapped(box, BUCKETS, SIZE, handle);
            assert.ok(l >= 0 && t >= 0 && r <= 100 && b <= 80 && r > l && b > t, `${box} ${handle}`);
            const shape = (r - l) / (b - t);
            assert.ok([1, 0.5, 2].some((wanted) => Math.abs(Math.log(shape / wanted)) < 0.12), `${box} ${handle} ${shape}`);
        }
    }
});

test("the corner opposite to the dragged one stays where it is", () => {
    const [, , r, b] = boxes.snapped([20, 20, 60, 55], BUCKETS, SIZE, "nw");
    assert.deepEqual([r, b], [60, 55]);
});

test("the nearest handle within reach is taken", () => {
    assert.equal(boxes.handleNear([10, 10, 30, 30], 31, 29, 5), "se");
    assert.equal(boxes.handleNear([10, 10, 30, 30], 20, 9, 5), "n");
    assert.equal(boxes.handleNear([10, 10, 30, 30], 20, 20, 5), null);
});

test("a crop with fewer own pixels than its bucket counts as enlarged", () => {
    const { width, bucket, enlarged } = boxes.figures([0, 0, 64, 64], BUCKETS, 0.5);
    assert.equal(width, 32);
    assert.deepEqual(bucket, [64, 64]);
    assert.equal(enlarged, 2);
    assert.equal(boxes.figures([0, 0, 128, 128], BUCKETS, 1).enlarged, 1);
});

test("the next cut has the last one's boxes, moved by the user's, without those left out", () => {
    const crops = [{ name: "face", box: [0, 0, 9, 9] }, { name: "legs", box: [0, 0, 8, 8] }, { name: "mine" }];
    const found = boxes.wanted(crops, ["face:1:2:3:4", "a b:5:6:7:8", "broken"], ["face", "a_b"]);
    assert.deepEqual([...found], [["face", [1, 2, 3, 4]], ["a_b", [5, 6, 7, 8]]]);
});

test("a preview shows exactly what a change makes", () => {
    const captions = { a: { text: "x, y" }, b: { text: "z" } };
    const found = tags.preview(captions, { add: ["w"], remove: ["y"], replace: [["z", "x"]] });
    assert.deepEqual(found.map((each) => each.after), ["x, w", "x, w"]);
    assert.deepEqual(tags.preview(captions, { add: ["z"], remove: [], replace: [] }).map((each) => each.name), ["a"]);
});

test("tags are moved, and suggestions begin with what is typed", () => {
    assert.deepEqual(tags.reordered(["a", "b", "c"], "c", 0), ["c", "a", "b"]);
    assert.deepEqual(tags.reordered(["a", "b", "c"], "a", 9), ["b", "c", "a"]);
    assert.deepEqual(tags.suggestions("ha", ["black hair", "hat"], { "black hair": 9 }, []), ["hat", "black hair"]);
    assert.deepEqual(tags.suggestions("ha", ["hat"], {}, ["hat"]), []);
});

test("a flood fills what is of one colour and connected", () => {
    const pixels = new Uint8ClampedArray([0, 0, 255, 0, 0, 255, 0, 0, 0].flatMap((value) => [value, value, value, 255]));
    assert.deepEqual([...flooded(pixels, 3, 3, 0, 0, 10)], [1, 1, 0, 1, 1, 0, 1, 1, 1]);
    assert.deepEqual([...flooded(pixels, 3, 3, 2, 0, 10)], [0, 0, 1, 0, 0, 1, 0, 0, 0]);
    assert.equal(flooded(pixels, 3, 3, 9, 9, 10).some(Boolean), false);
});

test("undo and redo walk the same way", () => {
    const history = new History();
    history.add("a");
    history.add("b");
    assert.equal(history.undo(), "b");
    assert.equal(history.redo(), "b");
    history.undo();
    history.add("c");
    assert.equal(history.redo(), undefined);
});

test("a form for one has the same places as the form for several, so that none is taken for another's", () => {
    const places = (text) => new Set(text.match(/\{\w+\}/g));
    const odd = Object.keys(en).filter((key) => key.endsWith("_one")).filter((key) => {
        const several = en[key.slice(0, -4)];
        return several === undefined || ![...places(en[key])].every((place) => places(several).has(place));
    });
    assert.deepEqual(odd, []);
});

test("every text is there in both languages, with the same places", () => {
    assert.deepEqual(Object.keys(en).filter((key) => !(key in ja)), []);
    assert.deepEqual(Object.keys(ja).filter((key) => !(key in en) && !/^(setting|group)\./.test(key)), []);
    const places = (text) => (text.match(/\{\w+\}/g) ?? []).sort().join();
    const differ = Object.keys(en).filter((key) => places(en[key]) !== places(ja[key]) && !key.endsWith("_one"));
    assert.deepEqual(differ, []);
});

test("several values of a setting lie around the present one, within its range", () => {
    const rank = { name: "training.rank", kind: "int", low: 1, high: 40, choices: [] };
    assert.equal(around(rank, 16), "8,16,32");
    assert.equal(around(rank, 32), "16,32");
    assert.equal(around({ ...rank, kind: "float", low: 0, high: 1 }, 0.004), "0.002,0.004,0.008");
    assert.equal(around({ ...rank, kind: "bool" }, true), "true,false");
    assert.ok(canVary(rank) && !canVary({ ...rank, name: "crop.details" }) && !canVary({ ...rank, kind: "strs" }));
});

test("a dragged tag lands in the gap nearest to the pointer, row by row", () => {
    const chip = (left, right, top) => ({ left, right, top, bottom: top + 20 });
    const rects = [chip(0, 40, 0), chip(50, 90, 0), chip(0, 60, 30)];
    assert.equal(drag.gapAt(rects, 10, 10), 0);
    assert.equal(drag.gapAt(rects, 45, 10), 1);
    assert.equal(drag.gapAt(rects, 300, 10), 2);
    assert.equal(drag.gapAt(rects, 5, 35), 2);
    assert.equal(drag.gapAt(rects, 55, 500), 3);
    assert.equal(drag.gapAt(rects, 0, -50), 0);
    assert.deepEqual([0, 1, 2, 3].map((gap) => drag.placeOf(1, gap)), [0, 1, 1, 2]);
});
