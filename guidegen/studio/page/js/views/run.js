// A run: its picture and the way there, its settings and scores, and where it can go from here.

import { address, announce, h, show, toast } from "../dom.js";
import { get, on, post } from "../net.js";
import { T } from "../text.js";
import { text } from "../parts/compare.js";
import { curve } from "../parts/curve.js";
import { scrubber } from "../parts/scrubber.js";

const HIDDEN = new Set(["prompt", "device", "preview", "metadata", "video", "trajectory", "save_every", "minutes", "upscale"]);
const NAMED = ["generator", "preset", "perceptor", "size", "seed"];

export function runView(state, name) {
  const element = h("div", { class: "run-page" });
  const leaving = [];
  let run = null;
  let moment = null;

  async function load() {
    try {
      run = await get(address("/api/run", name));
    } catch (error) {
      show(element, h("p", { class: "error" }, error.message));
      return;
    }
    document.title = `${run.prompt} · ${T.name}`;
    const image = h("img", { alt: T.pictureOf(run.prompt, run.seed), class: "large" });
    if (run.picture) image.src = `${address("/api/file", name, "image.png")}?v=${run.version}`;
    const way = scrubber(run, image, (step) => { moment = step; fork.textContent = T.forkAt(step); });
    leaving.push(way.leave);
    const fork = h("button", { onclick: () => carry({ ...own(), init_run: `${name}@${moment}`, init_image: null, start_from: null, starts: null }) }, T.fork);
    const star = h("button", { "aria-pressed": String(run.star), onclick: () => setStar(star) }, run.star ? T.unstar : T.giveStar);
    const video = h("button", { onclick: () => errand("video", { name }, video) }, T.video);
    const larger = h("button", { onclick: () => errand("upscale", { name, factor: 2 }, larger) }, T.upscale);
    show(element,
      h("div", { class: "show" }, h("div", { class: "frame" }, image), way.element,
        h("div", { class: "files" }, run.files.filter((file) => file !== "image.png" && file !== "preview.png").map(fileLink))),
      h("div", { class: "about" },
        h("h1", {}, run.prompt),
        h("p", { class: "where" }, [T.status(run.status), run.seconds === null ? "" : T.took(run.seconds), run.device].filter(Boolean).join(" · ")),
        h("div", { class: "actions" },
          h("button", { class: "primary", onclick: () => carry(own()) }, T.use), fork,
          run.status !== "finished" && h("button", { onclick: goOn }, T.resume)),
        h("div", { class: "actions" }, video, larger, star, h("button", { class: "danger", onclick: discard }, T.trash)),
        scores(),
        curves(),
        h("details", { class: "drawer", open: true }, h("summary", {}, T.settings), table()),
        h("details", { class: "drawer" }, h("summary", {}, T.commandLine), h("pre", { tabindex: "0" }, run.command))));
  }

  const own = () => Object.fromEntries(Object.entries(run.config).filter(([key, value]) => {
    const about = state.form.fields[key];
    if (key === "prompt" || NAMED.includes(key)) return true;
    return about && JSON.stringify(value) !== JSON.stringify(about.default) && !HIDDEN.has(key) && key !== "init_run";
  }));

  function carry(fields) {
    state.carried = fields;
    location.hash = "#/make";
  }

  function curves() {
    const { loss, scores } = run.curves;
    const total = run.config.steps ?? loss.at(-1)?.[0] ?? 1;
    return h("div", { class: "curves" }, curve(T.loss, [loss], total),
      Object.entries(scores).map(([name, points]) => curve(name, [points], total)));
  }

  function scores() {
    const rows = Object.entries(run.scores).map(([key, value]) => [h("dt", {}, key), h("dd", {}, value.toFixed(4))]);
    return rows.length ? h("dl", { class: "scores", "aria-label": T.scores }, rows) : null;
  }

  function table() {
    const order = [...NAMED, "steps", ...Object.keys(run.config)];
    const keys = [...new Set(order)].filter((key) => key in run.config).filter((key) => !HIDDEN.has(key) && text(run.config[key]) !== "–");
    return h("dl", { class: "settings" }, keys.map((key) => [h("dt", {}, T.label(key)), h("dd", {}, text(run.config[key]))]));
  }

  function fileLink(file) {
    const source = `${address("/api/file", name, file)}?v=${run.version}`;
    if (/\.mp4$/.test(file)) return h("video", { src: source, controls: true, loop: true, "aria-label": file });
    return h("a", { class: "button", href: source, target: "_blank", rel: "noopener" }, file);
  }

  async function errand(kind, data, button) {
    try {
      await post(`/api/${kind}`, data);
      button.disabled = true;
    } catch (error) {
      toast(error.message);
    }
  }

  async function goOn() {
    try {
      const job = await post("/api/go-on", { name });
      sessionStorage.setItem("job", job.id);
      location.hash = "#/make";
    } catch (error) {
      toast(error.message);
    }
  }

  async function setStar(button) {
    run.star = !run.star;
    button.setAttribute("aria-pressed", String(run.star));
    button.textContent = run.star ? T.unstar : T.giveStar;
    await post("/api/star", { name, on: run.star }).catch((error) => toast(error.message));
  }

  async function discard() {
    try {
      await post("/api/trash", { names: [name] });
    } catch (error) {
      toast(error.message);
      return;
    }
    location.hash = "#/wall";
    toast(T.trashed(1), T.undo, () => post("/api/restore", { names: [name] }).then(() => { location.hash = `#${address("/run", name)}`; }, (error) => toast(error.message)));
  }

  leaving.push(on("errand", (told) => {
    if (told.run !== name || !run) return;
    const button = [...element.querySelectorAll("button")].find((one) => one.textContent.startsWith(T[told.kind]));
    if (told.why) toast(told.why);
    if (told.part < 1 && button) { button.disabled = true; button.textContent = `${T[told.kind]} ${Math.round(told.part * 100)} %`; }
    if (told.part === 1) { announce(T.made(told.file ?? "")); load(); }
  }));
  load();
  return { element, leave: () => leaving.forEach((stop) => stop()) };
}
