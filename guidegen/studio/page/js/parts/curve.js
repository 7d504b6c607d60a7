// Losses or similarities over steps, one line a candidate.

import { h, svg } from "../dom.js";
import { T } from "../text.js";

const WIDTH = 320;
const HEIGHT = 72;

// lines: lists of [step, value]; those without a value are left out
export function curve(name, lines, total) {
  const points = lines.map((line) => line.filter(([, value]) => value !== null && value !== undefined));
  const values = points.flat().map(([, value]) => value);
  const figure = h("figure", { class: "curve" }, h("figcaption", {}, h("span", {}, name)));
  if (values.length < 2) return figure;
  const low = Math.min(...values);
  const high = Math.max(...values);
  const x = (step) => (step / Math.max(1, total)) * WIDTH;
  const y = (value) => HEIGHT - 3 - ((value - low) / (high - low || 1)) * (HEIGHT - 6);
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
    "aria-label": T.curves(name, points[0][0]?.[1]?.toFixed(3), points[0].at(-1)?.[1]?.toFixed(3)) });
  points.forEach((line, number) => {
    const text = line.map(([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    drawing.append(svg("polyline", { points: text, class: `line line-${number % 6}`, "vector-effect": "non-scaling-stroke" }));
  });
  figure.firstChild.append(h("output", {}, points[0].at(-1)?.[1]?.toFixed(3) ?? ""));
  figure.append(drawing);
  return figure;
}
