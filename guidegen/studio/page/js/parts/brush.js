// A brush for what may change in a picture: white is drawn anew, all else stays as it is.

import { h } from "../dom.js";
import { send } from "../net.js";
import { T } from "../text.js";

const COLOUR = "#5646c9";

// Paint on the picture of an address; resolves to the id of the mask.
export function brush(source, width, height) {
  return new Promise((resolve, reject) => {
    const image = h("img", { src: source, alt: "" });
    const canvas = h("canvas", { width, height, tabindex: "0", role: "img", "aria-label": T.brushArea });
    const room = canvas.getContext("2d");
    const size = h("input", { type: "range", id: "brush-size", min: 1, max: 40, value: 12 });
    let last = null;
    let erasing = false;
    let painted = false;

    function place(event) {
      const box = canvas.getBoundingClientRect();
      return [((event.clientX - box.left) * width) / box.width, ((event.clientY - box.top) * height) / box.height];
    }

    function stroke(event) {
      const next = place(event);
      room.globalCompositeOperation = erasing ? "destination-out" : "source-over";
      room.strokeStyle = room.fillStyle = COLOUR;
      room.lineCap = "round";
      room.lineWidth = (Number(size.value) / 100) * Math.max(width, height);
      room.beginPath();
      room.moveTo(...(last ?? next));
      room.lineTo(...next);
      room.stroke();
      last = next;
      painted = true;
      done.disabled = false;
    }

    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); last = null; stroke(event); });
    canvas.addEventListener("pointermove", (event) => { if (event.buttons) stroke(event); });
    canvas.addEventListener("pointerup", () => { last = null; });

    const erase = h("button", { type: "button", "aria-pressed": "false", onclick: () => { erasing = !erasing; erase.setAttribute("aria-pressed", String(erasing)); } }, T.erase);
    const all = h("button", { type: "button", onclick: () => { room.globalCompositeOperation = "source-over"; room.fillStyle = COLOUR; room.fillRect(0, 0, width, height); painted = true; done.disabled = false; } }, T.brushAll);
    const done = h("button", { class: "primary", disabled: true, onclick: finish }, T.brushDone);
    const error = h("p", { class: "error", role: "alert" });
    const dialog = h("dialog", { class: "brushing", "aria-label": T.brush, onclose: () => { dialog.remove(); resolve(null); } },
      h("div", { class: "head" }, h("h2", {}, T.brush), h("button", { class: "icon", "aria-label": T.close, onclick: () => dialog.close() }, "✕")),
      h("p", { class: "help" }, T.brushHelp),
      h("div", { class: "painting" }, image, canvas),
      h("div", { class: "actions" }, h("label", { for: "brush-size" }, T.brushSize), size, erase, all, done), error);
    document.body.append(dialog);
    dialog.showModal();

    async function finish() {
      if (!painted) return;
      const mask = new OffscreenCanvas(width, height);
      const paper = mask.getContext("2d");
      const pixels = room.getImageData(0, 0, width, height);
      for (let at = 0; at < pixels.data.length; at += 4) {
        const white = pixels.data[at + 3] > 127 ? 255 : 0;
        pixels.data.set([white, white, white, 255], at);
      }
      paper.putImageData(pixels, 0, 0);
      try {
        const found = await send("/api/upload", await mask.convertToBlob({ type: "image/png" }));
        resolve(found.id);
        dialog.close();
      } catch (failed) {
        error.textContent = failed.message;
        if (!failed.errors) reject(failed);
      }
    }
  });
}
