// The wall: every run, loaded as one scrolls; only what is in sight is in the page.

import { address, announce, debounce, h, show, toast } from "../dom.js";
import { get, on, post } from "../net.js";
import { T } from "../text.js";
import { compare } from "../parts/compare.js";
import { searchField } from "../parts/search.js";

const PAGE = 100;
const SMALLEST = 190; // pixels of a card
const GAP = 18;
const WORDS = 62; // pixels of the lines under a picture
const MARGIN = 2; // rows beyond what is in sight

export function wallView(state, folder) {
  const query = { by: "words", words: "", generator: "", lowest: "", starred: "", order: "newest", folder, ...JSON.parse(sessionStorage.getItem("wall") ?? "{}"), folder };
  let total = 0;
  let runs = new Map(); // place -> run
  let asked = new Set();
  let round = 0;
  let request = new AbortController();
  const selected = new Set();
  const shown = new Map(); // place -> element

  const count = h("p", { class: "total", role: "status" });
  const list = h("ul", { class: "wall", "aria-label": T.views.wall });
  const empty = h("p", { class: "none", hidden: true }, T.wallEmpty);
  const picked = h("div", { class: "picked", hidden: true, role: "region", "aria-label": T.selection });
  const generator = h("select", { id: "by-generator", onchange: () => change({ generator: generator.value }) }, h("option", { value: "" }, T.anyGenerator));
  const search = searchField(query, change);
  const lowest = h("input", { id: "by-score", type: "number", step: .01, value: query.lowest, "aria-label": T.lowest, placeholder: T.lowest, oninput: debounce(200, () => change({ lowest: lowest.value })) });
  const stars = h("button", { class: "stars", "aria-pressed": String(query.starred === "1"), onclick: () => { change({ starred: query.starred === "1" ? "" : "1" }); stars.setAttribute("aria-pressed", String(query.starred === "1")); } }, T.starred);
  const order = h("select", { id: "order", "aria-label": T.order, onchange: () => change({ order: order.value }) },
    Object.entries(T.orders).map(([value, label]) => h("option", { value }, label)), h("option", { value: "nearest", hidden: true }, T.nearest));

  const element = h("div", { class: "wall-page" },
    h("h1", { class: folder ? "" : "unseen" }, folder || T.views.wall),
    h("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() }, search.element, generator, lowest, order, stars, count, search.below),
    empty, list, picked);
  generator.setAttribute("aria-label", T.byGenerator);

  function change(what) {
    Object.assign(query, what);
    sessionStorage.setItem("wall", JSON.stringify(query));
    window.scrollTo(0, 0);
    load();
  }

  async function load() {
    round += 1;
    request.abort(); // a browser opens few connections; one that is waited for no more gives its own back
    request = new AbortController();
    [runs, asked] = [new Map(), new Set()];
    order.disabled = query.by === "meaning" && query.words.trim() !== "";
    order.value = order.disabled ? "nearest" : query.order;
    search.begun();
    await fetchPage(0);
  }

  async function fetchPage(number) {
    if (asked.has(number)) return;
    asked.add(number);
    const mine = round;
    const { by, words, ...filters } = query;
    const page = { ...filters, [by]: words, first: number * PAGE, count: PAGE };
    let problem = "";
    const found = await get("/api/runs", page, request.signal).catch((error) => { problem = error.message; return { total: 0, first: 0, runs: [] }; });
    if (mine !== round) return;
    if (number === 0) {
      search.ended(problem);
      total = found.total;
      count.textContent = problem ? "" : T.runs(total);
      empty.hidden = total > 0 || problem !== "";
      for (const card of shown.values()) card.remove();
      shown.clear();
    } else if (problem) toast(problem);
    found.runs.forEach((run, place) => runs.set(found.first + place, run));
    draw();
  }

  function layout() {
    const width = list.clientWidth || 1;
    const columns = Math.max(1, Math.floor((width + GAP) / (SMALLEST + GAP)));
    const side = (width - GAP * (columns - 1)) / columns;
    return { columns, side, height: side + WORDS + GAP };
  }

  function draw() {
    const { columns, side, height } = layout();
    const rows = Math.ceil(total / columns);
    list.style.height = `${rows * height}px`;
    const top = window.scrollY - list.offsetTop;
    const first = Math.max(0, Math.floor(top / height) - MARGIN) * columns;
    const last = Math.min(total, (Math.ceil((top + window.innerHeight) / height) + MARGIN) * columns);
    for (const [place, card] of shown) if (place < first || place >= last) { card.remove(); shown.delete(place); }
    for (let place = first; place < last; place += 1) {
      const run = runs.get(place);
      if (!run) { fetchPage(Math.floor(place / PAGE)); continue; }
      let card = shown.get(place);
      if (!card) {
        card = makeCard(run, place);
        shown.set(place, card);
        const next = [...shown.keys()].filter((other) => other > place).sort((a, b) => a - b)[0];
        list.insertBefore(card, shown.get(next) ?? null);
      }
      card.style.width = `${side}px`;
      card.style.transform = `translate(${(place % columns) * (side + GAP)}px, ${Math.floor(place / columns) * height}px)`;
    }
  }

  function makeCard(run, place) {
    const image = run.picture && h("img", { src: `${address("/api/thumb", run.name)}?v=${run.version}`, alt: "", loading: "lazy", decoding: "async" });
    const box = h("input", { type: "checkbox", checked: selected.has(run.name), "aria-label": T.select(run.prompt, run.seed), onchange: () => select(run.name, box.checked) });
    const star = h("button", { class: "icon star", "aria-pressed": String(run.star), "aria-label": T.star(run.prompt, run.seed), title: T.starOf, onclick: () => setStar(run, star) }, run.star ? "★" : "☆");
    return h("li", { class: "card", "aria-setsize": total, "aria-posinset": place + 1, data: { name: run.name } },
      h("a", { class: "frame", href: `#${address("/run", run.name)}` }, image || h("span", { class: "blank-frame" }, T.noPicture),
        h("span", { class: "unseen" }, T.pictureOf(run.prompt, run.seed))),
      h("div", { class: "over" }, box, star),
      h("p", { class: "words", title: run.prompt }, run.prompt),
      h("small", {}, [...(run.similarity === undefined ? [run.generator, T.seed(run.seed), run.score?.toFixed(3)] : [T.near(run.similarity), run.generator]), run.status === "finished" ? "" : T.status(run.status)].filter(Boolean).join(" · ")));
  }

  async function setStar(run, button) {
    run.star = !run.star;
    button.textContent = run.star ? "★" : "☆";
    button.setAttribute("aria-pressed", String(run.star));
    await post("/api/star", { name: run.name, on: run.star }).catch((error) => toast(error.message));
  }

  function select(name, on) {
    if (on) selected.add(name);
    else selected.delete(name);
    choose();
  }

  function choose() {
    picked.hidden = selected.size === 0;
    show(picked, h("span", {}, T.selected(selected.size)),
      h("button", { onclick: () => compare([...selected]), disabled: selected.size < 2 }, T.compare),
      h("button", { class: "danger", onclick: discard }, T.trash),
      h("button", { class: "quiet", onclick: () => { selected.clear(); choose(); redraw(); } }, T.clear));
  }

  async function discard() {
    const names = [...selected];
    try {
      await post("/api/trash", { names });
    } catch (error) {
      toast(error.message);
      return;
    }
    selected.clear();
    choose();
    load();
    announce(T.trashed(names.length));
    toast(T.trashed(names.length), T.undo, async () => {
      await post("/api/restore", { names }).catch((error) => toast(error.message));
      load();
    });
  }

  function redraw() {
    for (const card of shown.values()) card.remove();
    shown.clear();
    draw();
  }

  let waiting = false;
  const scrolled = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  };
  window.addEventListener("scroll", scrolled, { passive: true });
  window.addEventListener("resize", scrolled);
  const again = debounce(800, () => { if (window.scrollY < 200) load(); });
  const leave = [on("run", again), on("wall", again), on("search", search.progress)];
  // reading what drew thousands of runs must not hold up the first of them
  load().then(() => get("/api/generators")).then((names) => {
    generator.append(...names.map((name) => h("option", { value: name }, name)));
    generator.value = query.generator;
  }, () => {});
  return {
    element,
    leave: () => {
      window.removeEventListener("scroll", scrolled);
      window.removeEventListener("resize", scrolled);
      round += 1;
      request.abort();
      leave.forEach((stop) => stop());
    },
  };
}
