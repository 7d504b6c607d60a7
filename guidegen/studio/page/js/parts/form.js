// The form of a picture: what most need in sight, all else in a drawer.

import { debounce, h } from "../dom.js";
import { post } from "../net.js";
import { T } from "../text.js";
import { promptField } from "./prompt.js";
import { control, valuesOf } from "./settings.js";

const FIRST = ["generator", "preset", "perceptor", "size", "seed"];
const CHECK_AFTER = 250;

export function pictureForm(form, submitted) {
  const check = debounce(CHECK_AFTER, checked);
  const prompt = promptField(() => { keep(); check(); });
  const controls = {};
  for (const [name, about] of Object.entries(form.fields)) controls[name] = control(name, ranked(name, about, form), () => { keep(); check(); });
  const count = h("input", { id: "set-count", name: "count", type: "number", min: 1, max: form.max_count, value: 1, oninput: () => { keep(); check(); } });
  const problem = h("p", { class: "error", data: { for: "" }, role: "alert" });
  const draw = h("button", { class: "primary", type: "submit", title: T.drawKeys }, T.draw);
  const see = h("button", { type: "button", onclick: () => submit("starts") }, T.see);
  const badge = h("span", { class: "badge", hidden: true });

  const element = h("form", { class: "picture-form", novalidate: true, onsubmit: (event) => { event.preventDefault(); submit("pictures"); },
    onkeydown: (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); submit("pictures"); } } },
    prompt.element,
    h("div", { class: "row two" }, controls.generator.element, controls.preset.element),
    h("div", { class: "row" }, controls.perceptor.element),
    h("div", { class: "row three" }, controls.size.element, controls.seed.element,
      h("div", { class: "field" }, h("label", { for: "set-count" }, T.count), count, h("p", { class: "error", data: { for: "count" } }))),
    problem,
    h("div", { class: "actions" }, draw, see),
    h("details", { class: "drawer" },
      h("summary", {}, T.settings, badge),
      form.groups.map(group),
      h("button", { type: "button", class: "quiet", onclick: () => fill({ prompt: prompt.box.value }) }, T.reset)));

  function group({ name, fields }) {
    const rest = fields.filter((field) => !FIRST.includes(field));
    return rest.length ? h("fieldset", {}, h("legend", {}, name), rest.map((field) => controls[field].element)) : null;
  }

  function values() {
    return { fields: { prompt: prompt.box.value, ...valuesOf(controls) }, count: Number(count.value) || 0 };
  }

  function fill(fields, number = 1) {
    prompt.box.value = fields.prompt ?? "";
    for (const [name, one] of Object.entries(controls)) one.value = fields[name];
    count.value = number;
    keep();
    checked();
    requestAnimationFrame(prompt.grow);
  }

  // What is typed stays through a reload.
  function keep() {
    const chosen = values();
    sessionStorage.setItem("form", JSON.stringify(chosen));
    const changed = Object.keys(chosen.fields).filter((name) => name !== "prompt" && !FIRST.includes(name)).length;
    badge.textContent = T.changed(changed);
    badge.hidden = changed === 0;
  }

  let asked = 0;
  async function checked() {
    const number = ++asked;
    const chosen = values();
    if (!chosen.fields.prompt.trim() && !chosen.fields.image_prompt && !chosen.fields.noise_prompt) {
      prompt.read({ scenes: [], hints: [] });
      return complain([]);
    }
    const found = await post("/api/check", chosen).catch((error) => ({ errors: error.errors ?? [], scenes: [], hints: [], filled: {} }));
    if (number !== asked) return;
    prompt.read(found);
    complain(found.errors);
    for (const [name, one] of Object.entries(controls)) {
      if (name !== "preset" && name !== "seed") one.own(found.filled[name]);
    }
  }

  function complain(errors) {
    for (const line of element.querySelectorAll(".error")) line.textContent = "";
    for (const field of element.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
    for (const { field, message } of errors) {
      const line = [...element.querySelectorAll(".error")].find((one) => one.dataset.for === field) ?? problem;
      line.textContent = line.textContent ? `${line.textContent}; ${message}` : message;
      const input = element.querySelector(`[name="${CSS.escape(field)}"]`);
      input?.setAttribute("aria-invalid", "true");
      const drawer = input?.closest("details");
      if (drawer) drawer.open = true;
    }
  }

  async function submit(kind) {
    draw.disabled = see.disabled = true;
    try {
      const chosen = values();
      // of one there is nothing to choose
      await submitted(kind, kind === "starts" && chosen.count === 1 ? { ...chosen, count: form.starts } : chosen);
      complain([]);
    } catch (error) {
      complain(error.errors ?? [{ field: "", message: String(error) }]);
      element.querySelector("[aria-invalid]")?.focus();
    } finally {
      draw.disabled = see.disabled = false;
    }
  }

  return { element, fill, values, focus: () => prompt.box.focus() };
}

// Names that the server knows become choices; those in sight need no further words.
function ranked(name, about, form) {
  const own = { ...about, default: form.defaults[name] ?? about.default };
  if (name === "generator") {
    own.choices = [...form.generators].sort((a, b) => b.here - a.here).map((one) => one.name);
    own.notes = Object.fromEntries(form.generators.filter((one) => !one.here).map((one) => [one.name, T.notHere]));
  }
  if (name === "preset") own.choices = Object.keys(form.presets);
  if (name === "seed") own.default = form.defaults.seed ?? 0;
  if (FIRST.includes(name)) own.help = name === "seed" ? T.anySeed : "";
  return own;
}
