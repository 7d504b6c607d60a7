// The prompt, and how it is read while it is typed.

import { h, show } from "../dom.js";
import { T } from "../text.js";

export function promptField(changed) {
  const box = h("textarea", { id: "prompt", name: "prompt", rows: 2, placeholder: T.placeholder, spellcheck: "true",
    "aria-describedby": "prompt-help prompt-error", oninput: () => { grow(); changed(); } });
  const parts = h("ol", { class: "scenes", "aria-label": T.parts });
  const hints = h("ul", { class: "hints" });
  const error = h("p", { class: "error", id: "prompt-error", data: { for: "prompt" } });

  function grow() {
    box.style.height = "auto";
    box.style.height = `${box.scrollHeight + 2}px`;
  }

  function read(found) {
    show(parts, found.scenes.map((scene, number) => h("li", {},
      found.scenes.length > 1 && h("span", { class: "scene" }, T.scene(number + 1)),
      h("ul", { class: "parts" }, scene.map(part)))));
    show(hints, found.hints.map((text) => h("li", {}, text)));
  }

  const element = h("div", { class: "field prompt" }, h("label", { for: "prompt" }, T.prompt), box, parts, hints, error,
    h("p", { class: "help", id: "prompt-help" }, T.grammar));
  return { element, read, box, grow };
}

function part({ text, weight, stop }) {
  return h("li", { class: weight < 0 ? "part away" : "part" }, h("span", {}, text),
    weight !== 1 && h("b", {}, T.weight(weight)),
    weight < 0 && h("span", { class: "unseen" }, T.away),
    stop !== null && h("small", {}, T.stop(stop)));
}
