// The page's frame: what stands on top, and which view is shown.

import { h, show } from "./dom.js";
import { begin, get, on } from "./net.js";
import { T } from "./text.js";
import { bring, dropping } from "./parts/drop.js";
import { gridView } from "./views/grid.js";
import { listView } from "./views/list.js";
import { makeView } from "./views/make.js";
import { runView } from "./views/run.js";
import { wallView } from "./views/wall.js";

const VIEWS = { make: makeView, wall: wallView, list: listView, grid: gridView, run: runView };
const SHOWN = ["make", "wall", "list", "grid"];

const state = { form: null, jobs: [], carried: null, list: null };
const main = h("main", { id: "main", tabindex: "-1" });
const queueCount = h("span", { class: "count", hidden: true });
const offline = h("p", { class: "offline", role: "alert", hidden: true }, T.gone);
const links = SHOWN.map((name) => h("a", { href: `#/${name}`, data: { view: name } }, T.views[name], name === "make" && queueCount));
let leave = () => {};

function header() {
  return h("header", { class: "top" },
    h("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); } }, T.skip),
    h("a", { class: "brand", href: "#/make" }, h("img", { src: "/page/icon.svg", alt: "", width: 22, height: 22 }), T.name),
    h("nav", { "aria-label": T.navigation }, links),
    offline,
    h("label", { class: "button bring-button", for: "bring-file", title: T.bringHint }, T.bring), file);
}

const file = h("input", { type: "file", id: "bring-file", class: "unseen", accept: "image/*,.txt,.csv,.jsonl,.toml", onchange: () => {
  if (file.files[0]) bring(state, file.files[0], go);
  file.value = "";
} });

// Also where the address stays the same.
function go(hash) {
  if (location.hash === hash) route();
  else location.hash = hash;
}

// "#/run/a/b?x=1" -> view "run", name "a/b"
function place() {
  const [view, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  return { view: VIEWS[view] ? view : "make", name: rest.map(decodeURIComponent).join("/") };
}

function route() {
  const { view, name } = place();
  leave();
  for (const link of links) {
    if (link.dataset.view === (view === "run" ? "wall" : view)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${T.views[view] ?? T.views.wall} · ${T.name}`;
  main.className = `view-${view}`;
  const shown = VIEWS[view](state, name);
  leave = shown.leave ?? (() => {});
  show(main, shown.element);
  window.scrollTo(0, 0);
}

on("queue", (jobs) => {
  state.jobs = jobs;
  const open = jobs.filter((job) => job.state === "waiting" || job.state === "running").length;
  queueCount.textContent = String(open);
  queueCount.hidden = open === 0;
  queueCount.setAttribute("aria-label", T.queued(open));
});
on("online", (online) => { offline.hidden = online; });

state.form = await get("/api/form");
document.documentElement.lang = T.language;
document.body.append(header(), main);
window.addEventListener("hashchange", route);
dropping(state, go);
route();
begin();
