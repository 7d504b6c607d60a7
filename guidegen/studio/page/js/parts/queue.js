// The queue: what is being drawn, what waits, what ended.

import { address, h, show } from "../dom.js";
import { on, post } from "../net.js";
import { T } from "../text.js";

export function queueList(state, chosen) {
  const list = h("ol", { class: "jobs" });
  const element = h("section", { class: "queue", "aria-labelledby": "queue-title" }, h("h2", { id: "queue-title" }, T.queue), list);

  function update(jobs) {
    const waiting = jobs.filter((job) => job.state === "waiting");
    const order = [...jobs.filter((job) => job.state === "running" || job.state === "paused"), ...waiting,
      ...jobs.filter((job) => ["finished", "stopped", "failed"].includes(job.state)).reverse()];
    show(list, order.length ? order.map((job) => row(job, waiting.indexOf(job), waiting.length)) : h("li", { class: "none" }, T.queueEmpty));
  }

  function row(job, place, count) {
    const act = (action, data = {}) => () => post(address("/api/jobs", job.id, action), data);
    const small = (label, sign, action) => h("button", { class: "icon", title: label, "aria-label": `${label}: ${job.title}`, onclick: action }, sign);
    const buttons = [];
    if (place > 0) buttons.push(small(T.up, "↑", act("move", { place: place - 1 })));
    if (place >= 0 && place < count - 1) buttons.push(small(T.down, "↓", act("move", { place: place + 1 })));
    if (job.state === "waiting") buttons.push(small(T.cancel, "✕", act("stop")));
    if (job.state === "finished" || job.state === "failed" || job.state === "stopped") buttons.push(small(T.forget, "✕", act("forget")));
    return h("li", { data: { state: job.state, job: job.id } },
      h("button", { class: "job", onclick: () => { if (job.kind === "list" || job.kind === "grid") location.hash = `#/${job.kind}`; else chosen(job); } },
        h("span", { class: "title" }, job.title),
        h("small", {}, [T.kinds[job.kind], job.total > 1 ? T.done(job.done, job.total) : ""].filter(Boolean).join(" · "))),
      h("span", { class: "chip", data: { state: job.state } }, T.states[job.state]),
      h("span", { class: "buttons" }, buttons));
  }

  update(state.jobs);
  return { element, leave: on("queue", update) };
}
