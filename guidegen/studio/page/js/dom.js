// Elements without markup: text stays text, whatever it holds.

const SVG = "http://www.w3.org/2000/svg";

export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled") element[name] = value;
    else if (name === "data") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const show = (element, ...children) =>
  element.replaceChildren(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));

// A path's parts go into an address one by one, so that a name can hold anything.
export const address = (...parts) =>
  parts.map((part) => String(part).split("/").map(encodeURIComponent).join("/")).join("/");

export function debounce(wait, call) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...values), wait);
  };
}

let live = null;

// Said by a screen reader, seen by nobody.
export function announce(text) {
  if (!live) {
    live = h("div", { class: "unseen", role: "status", "aria-live": "polite" });
    document.body.append(live);
  }
  live.textContent = text;
}

let toasts = null;

// A line that goes away by itself, with one thing to do about it.
export function toast(text, label = "", act = null) {
  if (!toasts) {
    toasts = h("div", { class: "toasts", role: "status" });
    document.body.append(toasts);
  }
  const line = h("div", { class: "toast" }, h("span", {}, text));
  if (act) line.append(h("button", { class: "link", onclick: () => { line.remove(); act(); } }, label));
  toasts.append(line);
  setTimeout(() => line.remove(), 8000);
}
