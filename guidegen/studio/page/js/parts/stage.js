// A job as it is being drawn: its pictures, how far they are, and what can be done about it.

import { address, announce, h, show } from "../dom.js";
import { get, on, post } from "../net.js";
import { T } from "../text.js";
import { curve } from "./curve.js";

const OPEN = new Set(["waiting", "running", "paused"]);

export function stage(state) {
  const element = h("section", { class: "stage", "aria-label": T.stage });
  const title = h("h2", {});
  const chip = h("span", { class: "chip" });
  const progress = h("progress", { max: 1, value: 0, "aria-label": T.stage });
  const where = h("p", { class: "where" });
  const why = h("p", { class: "error" });
  const pictures = h("div", { class: "candidates" });
  const curves = h("div", { class: "curves" });
  const buttons = h("div", { class: "actions" });
  let job = null;
  let lines = new Map(); // candidate -> points
  let figures = new Map();
  let latest = { total: 0, left: null };

  let asked = 0;
  async function choose(name) {
    const mine = ++asked;
    sessionStorage.setItem("job", name);
    const found = await get(address("/api/jobs", name)).catch(() => null);
    if (mine !== asked) return; // another was chosen meanwhile
    if (!found) return clear();
    [job, lines, figures] = [found, new Map(), new Map()];
    show(pictures, members().map(candidate));
    show(element, h("div", { class: "head" }, title, chip), pictures, h("div", { class: "status" }, progress, where), why, buttons, curves);
    if (found.live.candidates.length) step({ ...found.live, job: job.id });
    update();
  }

  function clear() {
    job = null;
    show(element, h("div", { class: "blank" }, h("img", { src: "/page/icon.svg", alt: "", width: 56, height: 56 }), h("p", {}, T.empty)));
  }

  // What each picture is called: starts by the numbers that --pick takes.
  function members() {
    if (job.kind === "starts") return Array.from({ length: job.total }, (_, number) => T.start(number + 1));
    return job.seeds.flatMap((seed) => (job.picks.length ? job.picks.map((pick) => `${T.seed(seed)}, ${T.start(pick)}`) : [T.seed(seed)]));
  }

  function candidate(name, number) {
    const image = h("img", { alt: `${job.title}, ${name}`, hidden: true });
    const box = job.kind === "starts" && h("input", { type: "checkbox", value: number + 1, onchange: update });
    const caption = h("figcaption", {}, box ? h("label", {}, box, name) : h("span", {}, name), h("output", {}));
    const frame = h("a", { class: "frame" }, image);
    const figure = h("figure", { class: "candidate" }, frame, caption);
    figures.set(number, { figure, frame, image, output: caption.lastChild });
    return figure;
  }

  function step(event) {
    if (event.job !== job?.id) return;
    latest = event;
    for (const row of event.candidates) {
      const known = lines.get(row.n) ?? [];
      if (row.points) lines.set(row.n, row.points);
      else if (row.point && row.point[0] !== known.at(-1)?.[0]) lines.set(row.n, [...known, row.point]);
      const shown = figures.get(row.n);
      if (!shown) continue;
      if (row.preview && !shown.done) picture(shown, address("/api/jobs", job.id, "preview", row.n) + `?v=${row.preview}`);
      shown.output.textContent = row.similarity === null ? "" : `${T.similarity} ${row.similarity.toFixed(3)}`;
    }
    steps();
  }

  function picture(shown, source) {
    shown.image.src = source;
    shown.image.hidden = false;
  }

  function steps() {
    const at = Math.max(0, ...latest.candidates.map((row) => row.step));
    progress.value = latest.total ? at / latest.total : 0;
    const parts = [T.step(at, latest.total)];
    if (latest.left !== null && job.state === "running" && at < latest.total) parts.push(T.left(latest.left));
    where.textContent = parts.join(" · ");
    const all = [...lines.values()];
    show(curves, curve(T.loss, all.map((line) => line.map(([at, loss]) => [at, loss])), latest.total),
      curve(T.similarity, all.map((line) => line.map(([at, , near]) => [at, near])), latest.total));
  }

  function update() {
    title.textContent = job.title;
    chip.textContent = T.states[job.state];
    chip.dataset.state = job.state;
    why.textContent = job.why;
    element.dataset.state = job.state;
    progress.hidden = !OPEN.has(job.state);
    show(buttons, actions());
    if (!lines.size) where.textContent = job.state === "running" ? T.beginning : job.state === "waiting" ? T.place(place()) : "";
    if (job.kind === "starts") drawnStarts();
    for (const [number, run] of Object.entries(job.runs)) {
      const shown = job.kind === "pictures" && figures.get(Number(number));
      if (!shown) continue;
      shown.frame.setAttribute("href", `#${address("/run", run)}`);
      if (!["running", "waiting", "failed"].includes(job.state)) finished(shown, run);
    }
  }

  function drawnStarts() {
    const { losses = [] } = job.more;
    const best = Math.min(...losses);
    if (losses.length) where.textContent = T.done(job.done, job.total);
    progress.value = job.done / job.total;
    losses.forEach((loss, number) => {
      const shown = figures.get(number);
      if (shown.image.hidden) picture(shown, address("/api/jobs", job.id, "preview", number));
      shown.output.textContent = T.startLoss(loss, loss === best);
    });
  }

  function finished(shown, run) {
    shown.done = true;
    picture(shown, address("/api/file", run, "image.png") + `?v=${job.state}`);
  }

  const place = () => state.jobs.filter((one) => one.state === "waiting").findIndex((one) => one.id === job.id) + 1;

  function actions() {
    if (job.kind === "starts" && job.state === "finished") return choice();
    const act = (action) => () => post(address("/api/jobs", job.id, action)).catch((error) => { why.textContent = error.message; });
    const button = (label, action, title = "") => h("button", { onclick: act(action), title: title || null }, label);
    if (job.state === "running") return [button(T.pause, "pause"), button(T.stopRun, "stop", T.stopHint)];
    if (job.state === "waiting") return [button(T.cancel, "stop")];
    if (job.state === "paused") return [button(T.resume, "resume"), button(T.stopRun, "stop", T.stopHint)];
    if (job.state === "stopped" || job.state === "failed") return [button(T.resume, "resume")];
    return [];
  }

  function choice() {
    const picks = [...pictures.querySelectorAll("input:checked")].map((box) => Number(box.value));
    const onWith = async () => {
      try {
        const next = await post("/api/jobs", { kind: "pictures", fields: { ...job.fields, seed: job.seeds[0] }, picks });
        await choose(next.id);
      } catch (error) {
        why.textContent = error.message;
      }
    };
    return [h("button", { class: "primary", disabled: picks.length === 0, onclick: onWith }, picks.length ? T.goOnWith(picks.length) : T.choose)];
  }

  const leave = [
    on("step", step),
    on("queue", (jobs) => {
      const found = jobs.find((one) => one.id === job?.id);
      if (found) {
        if (found.state !== job.state) announce(T.said(found.title, found.state));
        if (found.state === "running" && job.state !== "running") for (const shown of figures.values()) shown.done = false;
        job = { ...job, ...found };
        update();
      } else if (job) clear();
      else {
        const mine = jobs.filter((one) => one.kind === "pictures" || one.kind === "starts");
        const next = mine.find((one) => one.id === sessionStorage.getItem("job")) ?? mine.findLast((one) => one.state === "running") ?? mine.at(-1);
        if (next) choose(next.id);
      }
    }),
    on("run", ({ job: name, n, run, status }) => {
      const shown = figures.get(n);
      if (name === job?.id && shown && status === "finished") finished(shown, run);
    }),
  ];
  clear();
  const wanted = sessionStorage.getItem("job");
  if (wanted && state.jobs.some((one) => one.id === wanted)) choose(wanted);
  return { element, choose, leave: () => leave.forEach((stop) => stop()) };
}
