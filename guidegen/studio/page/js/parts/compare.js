// Pictures side by side, with the settings in which they differ.

import { address, h, toast } from "../dom.js";
import { get } from "../net.js";
import { T } from "../text.js";

const MOST = 6;

export async function compare(names) {
  let runs;
  try {
    runs = await Promise.all(names.slice(0, MOST).map((name) => get(address("/api/run", name))));
  } catch (error) {
    return toast(error.message);
  }
  const different = Object.keys(runs[0].config).filter((key) => new Set(runs.map((run) => JSON.stringify(run.config[key]))).size > 1);
  const dialog = h("dialog", { class: "compare", "aria-label": T.compare, onclose: () => dialog.remove() },
    h("div", { class: "head" }, h("h2", {}, T.compare), h("button", { class: "icon", "aria-label": T.close, onclick: () => dialog.close() }, "✕")),
    h("div", { class: "beside" }, runs.map((run) => h("figure", {},
      h("div", { class: "frame" }, h("img", { src: address("/api/file", run.name, "image.png"), alt: T.pictureOf(run.prompt, run.seed) })),
      h("figcaption", {}, h("p", {}, run.prompt),
        h("dl", {}, different.filter((key) => key !== "prompt").map((key) => [h("dt", {}, T.label(key)), h("dd", {}, text(run.config[key]))]),
          run.score !== null && [h("dt", {}, T.similarity), h("dd", {}, run.score.toFixed(3))]))))));
  document.body.append(dialog);
  dialog.showModal();
}

export function text(value) {
  if (Array.isArray(value)) return value.join(", ") || "–";
  if (value === null || value === "") return "–";
  if (value === true) return T.yes;
  if (value === false) return T.no;
  return String(value);
}
