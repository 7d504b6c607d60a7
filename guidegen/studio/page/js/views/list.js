// Lists: many prompts at once, checked line by line, drawn into a folder of their own.

import { address, debounce, h, show } from "../dom.js";
import { get, on, post } from "../net.js";
import { T } from "../text.js";
import { jobButtons, jobHead } from "../parts/job.js";
import { fewControls, valuesOf } from "../parts/settings.js";

export function listView(state) {
  const kept = state.list ?? JSON.parse(sessionStorage.getItem("list") ?? "null") ?? { name: "list.txt", text: "" };
  state.list = null;
  const check = debounce(300, checked);
  const name = h("input", { id: "list-name", type: "text", value: kept.name, autocomplete: "off", oninput: check });
  const box = h("textarea", { id: "list-text", rows: 14, value: kept.text, spellcheck: "false", placeholder: T.listHint, oninput: check, "aria-describedby": "list-problems" });
  const numbers = h("pre", { class: "numbers", "aria-hidden": "true" });
  const file = h("input", { type: "file", id: "list-file", accept: ".txt,.csv,.jsonl,.toml", class: "unseen", onchange: async () => {
    const [one] = file.files;
    if (!one) return;
    name.value = one.name;
    box.value = await one.text();
    checked();
  } });
  const count = h("input", { id: "list-count", type: "number", min: 1, value: 1, oninput: check });
  const controls = fewControls(state.form, check);
  const problems = h("ul", { class: "problems", id: "list-problems", role: "status" });
  const draw = h("button", { class: "primary", type: "submit", disabled: true }, T.drawList);
  const result = h("section", { class: "panel", hidden: true });
  let job = null;

  const form = h("form", { class: "list-form", onsubmit: submit },
    h("h1", {}, T.views.list), h("p", { class: "help" }, T.listHelp),
    h("div", { class: "row two" },
      h("div", { class: "field" }, h("label", { for: "list-name" }, T.listName), name),
      h("div", { class: "field" }, h("label", { for: "list-count" }, T.countEach), count)),
    h("div", { class: "row four" }, Object.values(controls).map((one) => one.element)),
    h("div", { class: "field" }, h("div", { class: "head" }, h("label", { for: "list-text" }, T.listText), h("label", { class: "button", for: "list-file" }, T.chooseFile), file),
      h("div", { class: "lined" }, numbers, box)),
    problems, h("div", { class: "actions" }, draw));

  const values = () => ({ name: name.value, text: box.value, count: Number(count.value) || 1, fields: valuesOf(controls) });

  let asked = 0;
  async function checked() {
    const chosen = values();
    const lines = chosen.text.split("\n").length;
    numbers.textContent = Array.from({ length: Math.min(lines, 2000) }, (_, line) => line + 1).join("\n");
    box.rows = Math.max(14, Math.min(lines + 1, 60));
    sessionStorage.setItem("list", JSON.stringify({ name: chosen.name, text: chosen.text }));
    if (!chosen.text.trim()) { show(problems); draw.disabled = true; return; }
    const number = ++asked;
    const found = await post("/api/list/check", chosen).catch((error) => ({ errors: error.errors, problems: [], total: 0, more: 0 }));
    if (number !== asked) return;
    const bad = [...(found.errors ?? []).map(({ field, message }) => h("li", { class: "error" }, field ? `${T.label(field)}: ${message}` : message)),
      ...found.problems.map(({ line, message }) => h("li", { class: "error" }, h("b", {}, T.line(line)), ` ${message}`))];
    if (found.more) bad.push(h("li", {}, T.moreProblems(found.more)));
    show(problems, bad.length ? bad : h("li", { class: "good" }, T.listGood(found.lines, found.total)));
    draw.disabled = bad.length > 0;
  }

  async function submit(event) {
    event.preventDefault();
    draw.disabled = true;
    try {
      job = await post("/api/list", values());
      follow();
      result.scrollIntoView({ behavior: "smooth", block: "start" });
    } catch (error) {
      show(problems, h("li", { class: "error" }, error.message));
    }
    draw.disabled = false;
  }

  const hung = h("ul", { class: "hung" });
  const seen = new Set();

  async function follow() {
    result.hidden = false;
    const progress = h("progress", { max: job.total, value: job.done, "aria-label": job.title });
    show(result, jobHead(job),
      progress, h("p", { class: "where" }, T.done(job.done, job.total), job.more.failed ? ` · ${T.failedLines(job.more.failed)}` : ""),
      h("div", { class: "actions" }, jobButtons(job),
        h("a", { class: "button", href: `#${address("/wall", job.more.folder)}` }, T.openFolder)),
      job.why && h("p", { class: "error" }, job.why), hung);
    const found = await get("/api/runs", { folder: job.more.folder, count: 200 }).catch(() => ({ runs: [] }));
    for (const run of found.runs) hang(run.name, run.prompt, run.picture);
  }

  function hang(run, prompt, picture) {
    if (!run || !picture || seen.has(run)) return;
    seen.add(run);
    hung.prepend(h("li", {}, h("a", { class: "frame", href: `#${address("/run", run)}` }, h("img", { src: address("/api/thumb", run), alt: prompt }))));
  }

  const leave = [
    on("queue", (jobs) => {
      const found = job ? jobs.find((one) => one.id === job.id) : jobs.findLast((one) => one.kind === "list");
      if (!found) return;
      const changed = !job || found.state !== job.state || found.done !== job.done;
      job = found;
      if (changed) follow();
    }),
    on("run", (told) => { if (told.job === job?.id && told.status === "finished") hang(told.run, told.prompt, true); }),
  ];
  job = state.jobs.findLast((one) => one.kind === "list") ?? null;
  if (job) follow();
  checked();
  return { element: h("div", { class: "narrow" }, form, result), leave: () => leave.forEach((stop) => stop()) };
}
