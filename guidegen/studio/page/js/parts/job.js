// What lists and grids show of their job: its name and state, and what can be done about it.

import { address, h } from "../dom.js";
import { post } from "../net.js";
import { T } from "../text.js";

export const jobHead = (job) => h("div", { class: "head" }, h("h2", {}, job.title), h("span", { class: "chip", data: { state: job.state } }, T.states[job.state]));

export function jobButtons(job) {
  const button = (label, action) => h("button", { onclick: () => post(address("/api/jobs", job.id, action)) }, label);
  return [job.state === "running" && button(T.pause, "pause"), ["paused", "stopped", "failed"].includes(job.state) && button(T.resume, "resume")];
}
