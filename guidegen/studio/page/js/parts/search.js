// The wall's search: by words of the settings, or by what the pictures show.

import { announce, debounce, h } from "../dom.js";
import { T } from "../text.js";

const WAIT = { words: 200, meaning: 500 }; // milliseconds after the last key
const QUICK = 400; // milliseconds that an answer may take before the page says that it looks

// query: its `by` and `words`; changed: told what of them is new
export function searchField(query, changed) {
  const box = h("input", { type: "search", id: "by-words", value: query.words, "aria-label": T.search, "aria-describedby": "search-error", oninput: () => typed[query.by]() });
  const typed = Object.fromEntries(Object.entries(WAIT).map(([by, wait]) => [by, debounce(wait, () => changed({ words: box.value }))]));
  const way = h("select", { id: "search-by", "aria-label": T.searchBy, onchange: () => { hint(way.value); changed({ by: way.value, words: box.value }); } },
    Object.entries(T.ways).map(([value, label]) => h("option", { value }, label)));
  const bar = h("progress", { "aria-label": T.searching });
  const doing = h("span", {});
  const looking = h("div", { class: "looking", hidden: true }, bar, doing);
  const error = h("p", { class: "error", id: "search-error", role: "alert" });
  let timer = 0;

  const hint = (by) => { box.placeholder = T.hints[by]; };
  way.value = query.by;
  hint(query.by);

  function ended(message = "") {
    clearTimeout(timer);
    looking.hidden = true;
    error.textContent = message;
    if (message) box.setAttribute("aria-invalid", "true");
    else box.removeAttribute("aria-invalid");
  }

  return {
    element: h("div", { class: "search" }, box, way),
    below: [looking, error],
    ended,
    begun() {
      clearTimeout(timer);
      timer = setTimeout(() => {
        bar.removeAttribute("value");
        doing.textContent = T.searching;
        looking.hidden = false;
        announce(T.searching);
      }, QUICK);
    },
    // Pictures that are new to the index are looked at before the answer.
    progress({ done, total }) {
      if (looking.hidden) return;
      bar.max = total;
      bar.value = done;
      doing.textContent = T.looked(done, total);
    },
  };
}
