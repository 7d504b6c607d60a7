// Controls for settings, made from what the server says of each.

import { h } from "../dom.js";
import { T } from "../text.js";

// One field: its element, its value ("" where nothing was chosen), and a way to set it.
export function control(name, about, changed) {
  const id = `set-${name}`;
  const input = kind(name, id, about, changed);
  const element = h("div", { class: "field", data: { field: name } },
    h("label", { for: id }, T.label(name)), input,
    h("p", { class: "error", id: `${id}-error`, data: { for: name } }),
    about.help && h("p", { class: "help", id: `${id}-help` }, about.help));
  return {
    element,
    input,
    get value() { return read(input, about); },
    set value(value) { write(input, about, value); },
    // Say what holds where nothing is chosen.
    own(value) {
      const text = shown({ default: value });
      if (!text) return;
      if (input.tagName === "SELECT") input.options[0].textContent = text;
      else input.placeholder = text;
    },
  };
}

// Those of lists and grids, name -> control: the rest is set line by line, or is an axis.
export function fewControls(form, changed) {
  return Object.fromEntries(["generator", "preset", "size", "steps"].map((name) => {
    const about = { ...form.fields[name], help: "", default: form.defaults[name] ?? form.fields[name].default };
    if (name === "generator") about.choices = form.generators.filter((one) => one.here).map((one) => one.name);
    if (name === "preset") about.choices = Object.keys(form.presets);
    return [name, control(name, about, changed)];
  }));
}

// The settings that were chosen.
export const valuesOf = (controls) =>
  Object.fromEntries(Object.entries(controls).map(([name, one]) => [name, one.value]).filter(([, value]) => value !== ""));

function kind(name, id, about, changed) {
  const attributes = { id, name, "aria-describedby": `${id}-error ${id}-help`, oninput: changed, onchange: changed };
  if (about.choices) {
    const options = about.choices.map((choice) => h("option", { value: String(choice) }, about.notes?.[choice] ? `${choice} (${about.notes[choice]})` : String(choice)));
    return h("select", attributes, h("option", { value: "" }, unset(about)), options);
  }
  if (about.type === "boolean") {
    return h("select", attributes, h("option", { value: "" }, unset(about)),
      h("option", { value: "true" }, T.yes), h("option", { value: "false" }, T.no));
  }
  if (about.type === "strings") {
    return h("textarea", { ...attributes, rows: 1, placeholder: shown(about) || T.perLine });
  }
  const number = about.type === "integer" || about.type === "number";
  return h("input", { ...attributes, type: "text", inputmode: number ? "decimal" : null, placeholder: unset(about), autocomplete: "off" });
}

function shown(about) {
  const value = about.default;
  if (value === true) return T.yes;
  if (value === false) return T.no;
  return Array.isArray(value) ? value.join(", ") : value === null || value === undefined ? "" : String(value);
}

const unset = (about) => shown(about) || (about.default === null ? T.own : T.none);

function read(input, about) {
  const text = input.value.trim();
  if (text === "") return "";
  if (about.type === "strings") return text.split("\n").map((line) => line.trim()).filter(Boolean);
  if (about.type === "boolean") return text === "true";
  return text;
}

function write(input, about, value) {
  if (value === null || value === undefined || value === "") input.value = "";
  else if (about.type === "strings") input.value = [value].flat().join("\n");
  else input.value = String(value);
  if (input.tagName === "SELECT" && input.value !== String(value ?? "")) {
    // a name that the list does not have, like a model that was imported
    input.append(h("option", { value: String(value) }, String(value)));
    input.value = String(value);
  }
}
