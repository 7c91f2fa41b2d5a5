"use strict";
// A sheet that is being drawn: the page around this one says which pictures are there by now.
(() => {
  const { cells } = JSON.parse(document.getElementById("data").textContent);
  const places = new Map();
  for (const cell of document.querySelectorAll(".cell")) {
    for (const pic of cell.querySelectorAll(".pic")) places.set(cells[+cell.dataset.i].files[+pic.dataset.k], pic);
  }
  addEventListener("message", (event) => {
    if (event.source !== parent || event.origin !== location.origin) return;
    for (const [file, small] of Object.entries(event.data.pictures ?? {})) {
      const pic = places.get(file);
      if (!pic?.disabled) continue;
      pic.firstChild.src = small;
      pic.disabled = false;
    }
  });
  if (parent !== window) parent.postMessage({ ready: "sheet" }, location.origin);
})();
