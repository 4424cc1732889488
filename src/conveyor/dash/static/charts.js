// Small charts as SVG; they stretch to where they stand.

import { h } from "./dom.js";

const path = (points) => points.map(([x, y], n) => `${n ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

export function spark(values, words) {
  const most = Math.max(...values, 0) || 1;
  const width = Math.max(values.length - 1, 1);
  const points = values.map((value, n) => [(100 * n) / width, 20 - (18 * value) / most]);
  if (points.length === 1) points.push([100, points[0][1]]);
  return h(
    "svg",
    { class: "spark", viewBox: "0 0 100 22", preserveAspectRatio: "none", role: "img", "aria-label": words },
    points.length ? h("path", { class: "area", d: `${path(points)}L100 22L0 22Z` }) : null,
    points.length ? h("path", { class: "line", d: path(points) }) : null,
  );
}

// `lines`: [[name, class, values], ...], over `times`, seconds since 1970.
export function chart(title, times, lines, format) {
  const most = Math.max(0, ...lines.flatMap(([, , values]) => values)) || 1;
  const first = times[0] || 0;
  const last = times[times.length - 1] || 1;
  const span = Math.max(last - first, 1);
  const drawn = lines.map(([, kind, values], n) => {
    const points = values.map((value, at) => [(600 * (times[at] - first)) / span, 118 - (112 * value) / most]);
    const line = path(points);
    return [
      n === 0 && points.length > 1 ? h("path", { class: "area", d: `${line}L600 120L0 120Z` }) : null,
      h("path", { class: `line ${kind}`, d: line }),
    ];
  });
  const now = lines.map(([name, , values]) => `${name} now ${format(values[values.length - 1] || 0)}`).join(", ");
  return h(
    "div",
    { class: "chart" },
    h(
      "div",
      { class: "scale" },
      h("b", null, title),
      h("span", null, lines.length > 1 ? lines.map(([name, kind]) => h("span", { class: `key ${kind}` }, name)) : ""),
    ),
    h("div", { class: "scale" }, h("span", null, format(most)), h("span", null, now)),
    h(
      "svg",
      { viewBox: "0 0 600 120", preserveAspectRatio: "none", role: "img", "aria-label": `${title}: ${now}` },
      [6, 62, 118].map((y) => h("line", { class: "grid", x1: 0, x2: 600, y1: y, y2: y })),
      drawn,
    ),
    h("div", { class: "scale" }, h("span", null, `${Math.round(span)} s ago`), h("span", null, "now")),
  );
}

export function bar(part) {
  const shade = part < 0.6 ? "f0" : part < 0.9 ? "f1" : "f2";
  return h(
    "span",
    { class: "bar", "aria-hidden": "true" },
    h(
      "svg",
      { viewBox: "0 0 100 10", preserveAspectRatio: "none" },
      h("rect", { class: shade, width: (100 * part).toFixed(0), height: 10 }),
    ),
  );
}

// A worker's states, a letter each.
export function strip(states) {
  const runs = [];
  for (const letter of states) {
    if (runs.length && runs[runs.length - 1][0] === letter) runs[runs.length - 1][1] += 1;
    else runs.push([letter, 1]);
  }
  let at = 0;
  const busy = [...states].filter((letter) => letter === "b").length;
  return h(
    "svg",
    {
      class: "strip",
      viewBox: `0 0 ${Math.max(states.length, 1)} 10`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": `busy in ${busy} of the last ${states.length} looks`,
    },
    runs.map(([letter, length]) => {
      const made = h("rect", { class: letter, x: at, width: length, height: 10 });
      at += length;
      return made;
    }),
  );
}

export const pressure = (part) => (part < 0.4 ? "p0" : part < 0.7 ? "p1" : part < 0.9 ? "p2" : "p3");
