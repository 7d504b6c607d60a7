// The way of a run under a slider: its moments, decoded again from the latents.

import { address, debounce, h, show } from "../dom.js";
import { get } from "../net.js";
import { T } from "../text.js";

const FRAME = 90; // milliseconds between two pictures that play

export function scrubber(run, image, moved) {
  const element = h("div", { class: "scrubber" }, h("p", { class: "help" }, T.momentsLoading));
  let steps = [];
  let playing = 0;

  async function begin() {
    let found;
    try {
      found = await get(address("/api/moments", run.name));
    } catch (error) {
      show(element, h("p", { class: "help" }, error.message));
      return;
    }
    steps = found.steps;
    const last = steps.length - 1;
    const where = h("output", { for: "moment" }, T.step(steps[last], found.total));
    const slider = h("input", { type: "range", id: "moment", min: 0, max: last, value: last, "aria-label": T.moment });
    const play = h("button", { class: "icon", "aria-label": T.play, title: T.play }, "▶");
    const load = debounce(15, (place) => {
      image.src = place === last && run.picture ? `${address("/api/file", run.name, "image.png")}?v=${run.version}` : address("/api/moment", place, run.name);
    });

    function go(place) {
      slider.value = place;
      where.textContent = T.step(steps[place], found.total);
      slider.setAttribute("aria-valuetext", where.textContent);
      load(place);
      moved(steps[place]);
    }

    function stop() {
      clearTimeout(playing);
      playing = 0;
      play.textContent = "▶";
      play.setAttribute("aria-label", T.play);
    }

    // The next moment is asked for when the one before is there, at most some hundred in all.
    function next(place) {
      if (place >= last) { go(last); stop(); return; }
      go(place);
      const on = () => { if (playing) playing = setTimeout(next, FRAME, Math.min(last, place + Math.ceil(steps.length / 120))); };
      image.addEventListener("load", on, { once: true });
      image.addEventListener("error", stop, { once: true });
    }

    slider.addEventListener("input", () => { stop(); go(Number(slider.value)); });
    play.addEventListener("click", () => {
      if (playing) return stop();
      playing = 1;
      play.textContent = "❚❚";
      play.setAttribute("aria-label", T.pausePlay);
      next(0);
    });
    show(element, play, slider, where);
    moved(steps[last]);
  }

  begin();
  return { element, leave: () => clearTimeout(playing) };
}
