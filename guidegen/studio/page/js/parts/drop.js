// A picture that is dropped on the page, or chosen: its settings, a start, a prompt, or what it shows.

import { address, h, show } from "../dom.js";
import { post, send } from "../net.js";
import { T } from "../text.js";
import { brush } from "./brush.js";

const MASK = 512; // pixels of a mask's longer side; the engine fits it to the picture
const LISTS = /\.(txt|csv|jsonl|toml)$/i;

export function dropping(state, go) {
  const veil = h("div", { class: "veil", hidden: true }, h("p", {}, T.dropHere));
  document.body.append(veil);
  let depth = 0;
  const files = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  window.addEventListener("dragenter", (event) => { if (files(event)) { depth += 1; veil.hidden = false; } });
  window.addEventListener("dragleave", (event) => { if (files(event)) { depth -= 1; veil.hidden = depth > 0 ? false : true; } });
  window.addEventListener("dragover", (event) => { if (files(event)) event.preventDefault(); });
  window.addEventListener("drop", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    depth = 0;
    veil.hidden = true;
    if (event.dataTransfer.files[0]) bring(state, event.dataTransfer.files[0], go);
  });
  window.addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (file?.type.startsWith("image/")) bring(state, file, go);
  });
}

export async function bring(state, file, go) {
  if (LISTS.test(file.name)) {
    state.list = { name: file.name, text: await file.text() };
    return go("#/list");
  }
  const dialog = h("dialog", { class: "brought", "aria-label": T.brought, onclose: () => dialog.remove() });
  const close = h("button", { class: "icon", "aria-label": T.close, onclick: () => dialog.close() }, "✕");
  show(dialog, h("div", { class: "head" }, h("h2", {}, T.bringing), close));
  document.body.append(dialog);
  dialog.showModal();
  let found;
  try {
    found = await send("/api/upload", file);
  } catch (error) {
    show(dialog, h("div", { class: "head" }, h("h2", {}, T.notBrought), close), h("p", { class: "error", role: "alert" }, error.message));
    return;
  }
  const reference = `upload:${found.id}`;
  const carry = (fields) => { dialog.close(); state.carried = fields; go("#/make"); };
  const now = () => JSON.parse(sessionStorage.getItem("form") ?? "null")?.fields ?? {};
  const side = Math.min(1, MASK / Math.max(found.width, found.height));
  const paint = async () => {
    const mask = await brush(address("/api/upload", found.id), Math.max(1, Math.round(found.width * side)), Math.max(1, Math.round(found.height * side)));
    if (mask) carry({ ...now(), init_image: reference, mask: `upload:${mask}` });
  };
  const labels = h("input", { id: "labels", type: "text", placeholder: T.labelsHint });
  const results = h("ol", { class: "labels", role: "status" });
  const shows = h("form", { class: "asking", onsubmit: async (event) => {
    event.preventDefault();
    try {
      const pairs = await post("/api/classify", { id: found.id, labels: labels.value });
      show(results, pairs.slice(0, 8).map(({ label, probability }) => h("li", {}, h("span", {}, label), h("meter", { min: 0, max: 1, value: probability, "aria-label": label }), h("output", {}, T.percent(probability)))));
    } catch (error) {
      show(results, h("li", { class: "error" }, error.message));
    }
  } }, h("div", { class: "field" }, h("label", { for: "labels" }, T.labels), labels), h("button", {}, T.classify), results);
  show(dialog, h("div", { class: "head" }, h("h2", {}, T.brought), close),
    h("div", { class: "bring" },
      h("div", { class: "frame" }, h("img", { src: address("/api/upload", found.id), alt: file.name })),
      h("div", { class: "choices" },
        found.settings ? h("p", { class: "help" }, T.hasSettings(found.settings.prompt)) : h("p", { class: "help" }, T.noSettings),
        h("div", { class: "actions" },
          found.settings && h("button", { class: "primary", onclick: () => carry(changed(found.settings, state.form)) }, T.takeSettings),
          h("button", { onclick: () => carry({ ...now(), init_image: reference }) }, T.asStart),
          h("button", { onclick: paint }, T.paintOver),
          h("button", { onclick: () => carry({ ...now(), image_prompt: [...(now().image_prompt ?? []), reference] }) }, T.asPrompt)),
        shows)));
}

// What differs from the defaults: the form shows those by themselves.
function changed(settings, form) {
  return Object.fromEntries(Object.entries(settings).filter(([name, value]) => {
    const about = form.fields[name];
    if (name === "prompt") return true;
    if (name === "device") return false;
    return about && value !== null && JSON.stringify(value) !== JSON.stringify(about.default);
  }));
}
