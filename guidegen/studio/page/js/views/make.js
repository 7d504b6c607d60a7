// Making: the form, the picture in the making, and the queue.

import { announce, h } from "../dom.js";
import { post } from "../net.js";
import { T } from "../text.js";
import { pictureForm } from "../parts/form.js";
import { queueList } from "../parts/queue.js";
import { stage } from "../parts/stage.js";

const NARROW = "(max-width: 900px)";

export function makeView(state) {
  const watched = stage(state);
  const queue = queueList(state, (job) => watched.choose(job.id));
  const form = pictureForm(state.form, async (kind, chosen) => {
    const job = await post("/api/jobs", { kind, ...chosen });
    announce(T.added);
    await watched.choose(job.id);
    if (matchMedia(NARROW).matches) watched.element.scrollIntoView({ behavior: "smooth" });
  });
  const kept = JSON.parse(sessionStorage.getItem("form") ?? "null");
  if (state.carried) form.fill(state.carried);
  else if (kept) form.fill(kept.fields, kept.count);
  state.carried = null;
  if (!matchMedia(NARROW).matches) requestAnimationFrame(form.focus);
  return {
    element: h("div", { class: "make" }, h("h1", { class: "unseen" }, T.views.make), h("div", { class: "side" }, form.element), h("div", { class: "wide" }, watched.element, queue.element)),
    leave: () => { watched.leave(); queue.leave(); },
  };
}
