// A grid: two settings take all their values, each cell is a run.

import { address, debounce, h, show } from "../dom.js";
import { on, post } from "../net.js";
import { T } from "../text.js";
import { jobButtons, jobHead } from "../parts/job.js";
import { fewControls, valuesOf } from "../parts/settings.js";

export function gridView(state) {
  const kept = JSON.parse(sessionStorage.getItem("grid") ?? "null") ?? { x: { name: "seed", values: "0,1,2" }, y: { name: "", values: "" } };
  const made = JSON.parse(sessionStorage.getItem("form") ?? "null")?.fields ?? {};
  const check = debounce(300, checked);
  const prompt = h("input", { id: "grid-prompt", type: "text", value: kept.prompt ?? made.prompt ?? "", placeholder: T.placeholder, oninput: check });
  const x = axis("x", T.across, kept.x);
  const y = axis("y", T.downward, kept.y);
  const controls = fewControls(state.form, check);
  for (const [field, one] of Object.entries(controls)) one.value = (kept.fields ?? made)[field];
  const problem = h("p", { class: "error", role: "alert" });
  const size = h("p", { class: "help", role: "status" });
  const draw = h("button", { class: "primary", type: "submit" }, T.drawGrid);
  const result = h("section", { class: "panel grid-result", hidden: true });
  let job = null;

  function axis(name, label, chosen) {
    const names = ["prompt", ...Object.keys(state.form.fields)];
    const select = h("select", { id: `axis-${name}`, onchange: check }, h("option", { value: "" }, T.none), names.map((one) => h("option", { value: one }, T.label(one))));
    select.value = chosen.name;
    const values = h("input", { id: `axis-${name}-values`, type: "text", value: chosen.values, placeholder: T.valuesHint, "aria-label": T.valuesOf(label), oninput: check });
    return { element: h("div", { class: "field axis" }, h("label", { for: `axis-${name}` }, label), h("div", { class: "pair" }, select, values)),
      get text() { return select.value && values.value.trim() ? `${select.value}=${values.value}` : ""; },
      get kept() { return { name: select.value, values: values.value }; } };
  }

  const values = () => {
    const fields = valuesOf(controls);
    if (prompt.value.trim()) fields.prompt = prompt.value;
    return { fields, x: x.text, y: y.text };
  };

  let asked = 0;
  async function checked() {
    const chosen = values();
    sessionStorage.setItem("grid", JSON.stringify({ prompt: prompt.value, x: x.kept, y: y.kept, fields: chosen.fields }));
    if (!prompt.value.trim() && !chosen.x.startsWith("prompt=") && !chosen.y.startsWith("prompt=")) { problem.textContent = ""; draw.disabled = true; return; }
    const number = ++asked;
    const found = await post("/api/grid/check", chosen).catch((error) => ({ errors: error.errors, total: 0 }));
    if (number !== asked) return;
    problem.textContent = found.errors.map(({ field, message }) => (field ? `${T.label(field)}: ${message}` : message)).join("; ");
    size.textContent = found.total ? T.cells(found.total) : "";
    draw.disabled = found.errors.length > 0;
  }

  async function submit(event) {
    event.preventDefault();
    try {
      job = await post("/api/grid", values());
      follow();
    } catch (error) {
      problem.textContent = error.message;
    }
  }

  function follow() {
    result.hidden = false;
    const { columns, rows, failed = {}, sheet } = job.more;
    const cell = (number) => {
      const run = job.runs[number];
      if (run) return h("a", { class: "frame", href: `#${address("/run", run)}` }, h("img", { src: address("/api/thumb", run), alt: T.cell(columns[number % columns.length], rows[Math.floor(number / columns.length)]) }));
      return h("div", { class: "frame" }, failed[number] && h("span", { class: "blank-frame error" }, failed[number]));
    };
    show(result, jobHead(job),
      h("p", { class: "where" }, T.done(job.done, job.total)),
      h("div", { class: "actions" }, jobButtons(job),
        sheet && h("a", { class: "button", href: address("/api/file", sheet), target: "_blank", rel: "noopener" }, T.sheet)),
      job.why && h("p", { class: "error" }, job.why),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": job.title }, h("table", { class: "sheet" },
        h("thead", {}, h("tr", {}, h("td", {}), columns.map((label) => h("th", { scope: "col" }, label)))),
        h("tbody", {}, rows.map((label, row) => h("tr", {}, h("th", { scope: "row" }, label), columns.map((_, column) => h("td", {}, cell(row * columns.length + column)))))))));
  }

  const leave = on("queue", (jobs) => {
    const found = job ? jobs.find((one) => one.id === job.id) : jobs.findLast((one) => one.kind === "grid");
    if (found) { job = found; follow(); }
  });
  job = state.jobs.findLast((one) => one.kind === "grid") ?? null;
  if (job) follow();
  checked();
  const form = h("form", { class: "list-form", onsubmit: submit }, h("h1", {}, T.views.grid), h("p", { class: "help" }, T.gridHelp),
    h("div", { class: "field" }, h("label", { for: "grid-prompt" }, T.prompt), prompt),
    h("div", { class: "row two" }, x.element, y.element),
    h("div", { class: "row four" }, Object.values(controls).map((one) => one.element)),
    problem, size, h("div", { class: "actions" }, draw));
  return { element: h("div", { class: "narrow" }, form, result), leave };
}
