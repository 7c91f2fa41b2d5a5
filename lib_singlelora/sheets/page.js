"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement, main = document.querySelector("main"), flow = $("flow"), tables = $("tables");
  const cells = [...document.querySelectorAll(".cell")], homes = new Map(cells.map((cell) => [cell, cell.parentElement]));
  const of = (cell) => data.cells[+cell.dataset.i];
  const percent = (value) => `${Math.round(value * 100)} %`;
  const kept = (key, value) => { try { if (value === undefined) return localStorage.getItem(key);
    localStorage.setItem(key, value); } catch { return null; } return value; };  // pages from a disk may have no storage

  // The language: what the page around this one asks for, else the browser's
  const lists = JSON.parse($("texts").textContent), asked = new URLSearchParams(location.search).get("lang");
  const language = [asked, ...navigator.languages].map((name) => String(name ?? "").slice(0, 2).toLowerCase()).find((name) => name === "en" || name in lists) ?? "en";
  root.lang = language;
  const escaped = (text) => text.replace(/[.*+?^$()|[\]\\{}]/g, "\\$&"), place = /\{(#?)(\d)\}/g;
  const TITLE = "{0}: {1} and {2}";  // of the page alone: anything else could look like it
  const fixed = ([ours]) => ours.replace(place, "").length;
  const exact = new Map(lists[language] ?? []), answers = new Map();
  const patterns = (lists[language] ?? []).filter(([ours]) => ours.search(place) >= 0 && ours !== TITLE).sort((a, b) => fixed(b) - fixed(a)).map(([ours, theirs]) => {
    const parts = ours.split(/\{#?\d\}/), holes = [...ours.matchAll(place)];
    const source = parts.map((part, at) => escaped(part) + (holes[at] ? (holes[at][1] ? "([-\\d.,±% ]+)" : "(.+?)") : "")).join("");
    return { pattern: new RegExp(`^${source}$`), order: holes.map((hole) => hole[2]), theirs, sure: holes.every((hole) => hole[1]) || parts[0].length > 7 };
  });
  const fill = (text, values) => text.replace(place, (_, number, which) => values[which] ?? "");
  function pieces(text, joint) {  // outside of brackets
    const found = [""];
    let depth = 0;
    for (const letter of text) {
      depth += "([".includes(letter) ? 1 : ")]".includes(letter) ? -1 : 0;
      if (!depth && letter === joint) found.push(""); else found[found.length - 1] += letter;
    }
    return found.map((piece) => piece.trim());
  }
  function known(text, sure) {
    if (exact.has(text)) return exact.get(text);
    for (const each of patterns) {
      const found = (each.sure || !sure) && text.match(each.pattern);
      // Two sentences are not one value, but for one that ends with them.
      if (found && (each.theirs.endsWith("。") || found.slice(1).every((value) => pieces(value, ";").length === 1)))
        return fill(each.theirs, Object.fromEntries(each.order.map((number, at) => [number, said(found[at + 1])])));
    }
    return null;
  }
  // What no list knows stays as it is; of a text in pieces only those change that are surely ours, as a prompt is among them.
  function said(text, sure = false) {
    if (!exact.size || !text || text.length > 1500) return text;
    const key = `${sure} ${text}`;
    if (!answers.has(key)) answers.set(key, told(text, sure));
    return answers.get(key);
  }
  function told(text, sure) {
    if (sure) return text.split(" · ").map((piece) => known(piece, true) ?? piece).join(" · ");
    for (const [joint, theirs] of [[" · ", " · "], [";", "。"]]) {
      const parts = joint === ";" ? pieces(text, ";") : text.split(joint);
      if (parts.length > 1 && !/^Recommended: /.test(text)) return parts.map((part) => said(part)).join(theirs);
    }
    const whole = known(text, false);
    if (whole !== null) return whole;
    const named = text.match(/^([^:]+): (.+)$/);
    if (named) return `${said(named[1])}：${said(named[2])}`;
    return joined(pieces(text, ",")) ?? text;
  }
  function joined(parts) {  // a sentence may have commas inside: the longest that is known
    const found = [];
    let isKnown = false;
    for (let at = 0; at < parts.length;) {
      let end = parts.length, ours = null;
      for (; end > at && ours === null; end -= ours === null) ours = known(parts.slice(at, end).join(", "), false);
      isKnown ||= ours !== null;
      found.push(ours ?? parts[at]);
      at = Math.max(end, at + 1);
    }
    return isKnown ? found.join("、") : null;
  }
  const t = (text, ...values) => fill(exact.get(text) ?? text, values);
  if (exact.size) root.style.setProperty("--recommended", JSON.stringify(t("recommended")));
  if (exact.size) for (const own of document.querySelectorAll("[data-t], th, h2, .name, .note, .pic img")) {
    for (const name of ["title", "aria-label", "alt"]) if (own.hasAttribute(name)) own.setAttribute(name, said(own.getAttribute(name)));
    const title = own.dataset.t === "title" && own.textContent.match(/^(.+): (.+) and (.+)$/);
    if (title) own.textContent = t(TITLE, ...title.slice(1).map((part) => said(part)));
    else if (own.childElementCount === 0 && own.textContent.trim() && (own.tagName !== "BUTTON" || own.id === "show-best")) own.textContent = said(own.textContent, own.dataset.t === "pieces");
  }

  // The look
  const themes = ["auto", "light", "dark"];
  let theme = kept("singlelora-theme") || "auto";
  const dress = () => { if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
    $("theme").textContent = { auto: "◐", light: "☀", dark: "☾" }[theme]; $("theme").title = t("Colours: {0}", said(theme)); };
  $("theme").onclick = () => { theme = themes[(themes.indexOf(theme) + 1) % 3]; kept("singlelora-theme", theme); dress(); };
  dress();
  const size = $("size");
  size.value = parseInt(getComputedStyle(root).getPropertyValue("--s"), 10);
  size.oninput = () => root.style.setProperty("--s", `${size.value}px`);

  // Sorting and hiding
  const lower = new Set(data.lower), limits = new Map();
  const better = (name, value) => lower.has(name) ? -value : value;
  const whole = $("whole"), front = $("front");
  $("front-label").hidden = !data.cells.some((own) => own.front);
  function passes(cell) {
    const own = of(cell);
    if ((whole.checked && own.broken) || (front.checked && !own.front && !own.base && !cell.classList.contains("best"))) return false;
    for (const [name, limit] of limits) {
      const value = own.scores[name];
      if (value !== undefined && better(name, value) < better(name, limit)) return false;
    }
    return true;
  }
  function hide() {
    let shown = 0;
    for (const cell of cells) {
      const out = !passes(cell);
      cell.classList.toggle("out", out);
      for (const pic of cell.querySelectorAll(".pic")) pic.tabIndex = out ? -1 : 0;
      shown += !out;
    }
    $("count").textContent = shown === cells.length ? t("{#0} cells", shown) : t("{#0} of {#1} cells", shown, cells.length);
  }
  function sort() {
    const by = $("sort").value;
    tables.hidden = by !== ""; flow.hidden = by === "";
    if (by === "") for (const cell of cells) homes.get(cell).append(cell);
    else {
      const key = (cell) => { const value = of(cell).scores[by]; return value === undefined ? -Infinity : better(by, value); };
      flow.append(...[...cells].sort((a, b) => key(b) - key(a)));
    }
    const shown = by || data.names[0];
    for (const cell of cells) {
      const value = of(cell).scores[shown], bar = cell.querySelector(".meter");
      bar.hidden = value === undefined;
      if (value !== undefined) { bar.firstChild.style.width = `${100 * Math.min(1, Math.max(0, value))}%`; bar.title = `${said(shown)} ${percent(value)}`; }
    }
    main.scrollTop = 0;
  }
  for (const name of data.names) {
    const values = cells.map((cell) => of(cell).scores[name]).filter((value) => value !== undefined);
    const low = Math.floor(Math.min(...values) * 100), high = Math.ceil(Math.max(...values) * 100);
    if (low === high) continue;  // nothing to choose from
    const label = document.createElement("label"), slider = document.createElement("input"), told = document.createElement("b");
    const mark = lower.has(name) ? "≤" : "≥";
    Object.assign(slider, { type: "range", min: low, max: high, step: 1, value: lower.has(name) ? high : low, name });
    const tell = () => { told.textContent = percent(slider.value / 100); };
    slider.oninput = () => { const open = +slider.value === (lower.has(name) ? high : low);
      if (open) limits.delete(name); else limits.set(name, slider.value / 100); tell(); hide(); };
    tell();
    label.append(`${said(name)} ${mark}`, slider, told);
    $("sliders").append(label);
  }
  $("sort").onchange = () => { sort(); hide(); };
  whole.onchange = front.onchange = hide;
  if ($("show-best")) $("show-best").onclick = () => { const best = document.querySelector(".best .pic");
    best.focus({ preventScroll: true }); best.scrollIntoView({ block: "center", inline: "center" }); };

  // What is said of a picture
  const words = (text, tag = "p") => { const made = document.createElement(tag); made.textContent = text; return made; };
  function chips(pairs) { const row = document.createElement("div"); row.className = "chips";
    row.append(...pairs.map(([name, value]) => words(`${name} ${value}`, "span"))); return row; }
  const share = (own, name) => own.spread[name] === undefined ? percent(own.scores[name])
    : `${Math.round(own.scores[name] * 100)} ± ${Math.round(own.spread[name] * 100)} %`;
  const figures = (own) => [...Object.keys(own.scores).map((name) => [said(name), share(own, name)]),
    ...(own.front ? [[t("no other cell beats it in everything"), ""]] : [])];
  const called = (own, pic) => own.seeds.length ? t("{0} · seed {#1}", said(own.name), seed(pic)) : said(own.name);
  const seed = (pic) => of(pic.closest(".cell")).seeds[+pic.dataset.k];
  const tip = $("tip");
  function point(pic) {
    const own = of(pic.closest(".cell"));
    tip.replaceChildren(words(called(own, pic), "b"), words(said(own.note)), words(own.prompt),
      words(said(own.about, true)), chips(figures(own)));
    tip.hidden = false;
    const box = pic.getBoundingClientRect(), left = Math.min(box.left, innerWidth - tip.offsetWidth - 8);
    const below = box.bottom + 8 + tip.offsetHeight < innerHeight;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${below ? box.bottom + 8 : Math.max(8, box.top - tip.offsetHeight - 8)}px`;
  }
  const unpoint = () => { tip.hidden = true; };
  const picOf = (event) => { const pic = event.target.closest?.(".pic"); return pic && !pic.closest(".out") ? pic : null; };
  main.addEventListener("pointerover", (event) => { const pic = picOf(event); if (pic && event.pointerType === "mouse") point(pic); else unpoint(); });
  main.addEventListener("pointerleave", unpoint);
  main.addEventListener("scroll", unpoint, { passive: true });

  // Moving between pictures: rows are what lies at one height
  function rows() {
    const found = [];
    for (const pic of document.querySelectorAll(".cell:not(.out) .pic")) {
      const top = Math.round(pic.getBoundingClientRect().top), last = found[found.length - 1];
      if (last && Math.abs(last.top - top) < 4) last.pics.push(pic); else found.push({ top, pics: [pic] });
    }
    return found.map((row) => row.pics);
  }
  function beside(pic, across, down) {
    const all = rows(), y = all.findIndex((row) => row.includes(pic));
    if (y < 0) return all[0]?.[0];
    const x = all[y].indexOf(pic);
    if (across) { const flat = all.flat(); return flat[flat.indexOf(pic) + across]; }
    const row = all[y + down];
    return row && row[Math.min(x, row.length - 1)];
  }
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  // The large view
  const view = $("view"), large = $("large"), other = $("other"), against = $("against");
  let now = null;
  function put(image, full, small) {
    image.onerror = () => { image.onerror = null; image.src = small; };  // the page was moved away from its pictures
    image.src = full;
  }
  function show(pic) {
    now = pic;
    const cell = pic.closest(".cell"), own = of(cell);
    put(large, own.files[+pic.dataset.k], pic.firstChild.src);
    large.alt = said(own.name);
    $("name").textContent = called(own, pic);
    $("facts").replaceChildren(words(said(own.note)), words(own.prompt, "small"), words(said(own.about, true)), chips([...figures(own),
      ...Object.entries(own.traits)]), further(own));
    compare();
    if (!view.open) view.showModal();
  }
  function further(own) {  // what the race added: small here, whole when it is clicked
    const row = document.createElement("div");
    row.className = "further"; row.hidden = !own.further.length;
    row.append(...own.further.map(([number, file]) => {
      const link = document.createElement("a"), image = document.createElement("img");
      Object.assign(image, { src: file, alt: t("seed {#0}", number), title: t("seed {#0}", number), loading: "lazy" });
      image.onerror = () => link.remove();  // the page was moved away from its pictures
      Object.assign(link, { href: file, target: "_blank", rel: "noopener" });
      link.append(image);
      return link;
    }));
    return row;
  }
  function compare() {
    const what = against.value, figure = other.parentElement;
    figure.hidden = what === "none";
    if (what === "source") { put(other, data.source, $("source").src); $("other-name").textContent = t("the picture"); }
    else if (what === "base") {
      const own = of(now.closest(".cell")), base = data.cells.findIndex((each) => each.base && each.prompt === own.prompt && each.about === own.about);
      const found = document.querySelectorAll(`.cell[data-i="${Math.max(0, base)}"] .pic`);
      const pic = found[Math.min(+now.dataset.k, found.length - 1)];
      put(other, of(pic.closest(".cell")).files[+pic.dataset.k], pic.firstChild.src);
      $("other-name").textContent = t("without the LoRA");
    } else if (what === "nearest") {
      const own = of(now.closest(".cell"));
      figure.hidden = !own.nearest;
      if (own.nearest) { put(other, own.nearest, $("source").src); $("other-name").textContent = t("the training picture nearest to it"); }
    }
  }
  against.onchange = compare;
  const move = (across, down) => { const to = beside(now, across, down); if (to) show(to); };
  $("before").onclick = () => move(-1, 0);
  $("after").onclick = () => move(1, 0);
  $("close").onclick = () => view.close();
  view.addEventListener("close", () => { now.focus({ preventScroll: true }); now.scrollIntoView({ block: "nearest", inline: "nearest" }); });
  main.addEventListener("click", (event) => { const pic = picOf(event); if (pic) { unpoint(); show(pic); } });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") unpoint();
    if (!(event.key in steps) || event.target.closest("input, select")) return;
    const [across, down] = steps[event.key];
    if (view.open) { event.preventDefault(); move(across, down); return; }
    const pic = document.activeElement.closest?.(".pic"), to = pic ? beside(pic, across, down) : null;
    if (!pic) return;
    event.preventDefault();
    if (to) { to.focus(); point(to); }
  });
  sort(); hide();
})();
