// Elements from data. Text is only ever set as text: whatever a label, an item or a traceback has in it stays what it is.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "rect", "line", "title"]);

export function h(tag, attributes, ...children) {
  const made = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.flat(Infinity).filter((each) => each !== null && each !== undefined && each !== false));
  return made;
}

// Make `old` what `made` is, and keep every element that can stay: focus, selection and scrolling stay with it.
export function morph(old, made) {
  for (const { name } of [...old.attributes]) {
    if (!made.hasAttribute(name) && !(name === "open" && old.tagName === "DETAILS")) old.removeAttribute(name);
  }
  for (const { name, value } of made.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (old.hasAttribute("data-kept")) return; // what a person has typed, or asked for
  morphChildren(old, made);
}

export function morphChildren(old, made) {
  const wanted = [...made.childNodes];
  const keyed = new Map();
  for (const each of old.children) if (each.dataset.key) keyed.set(each.dataset.key, each);
  let at = old.firstChild;
  for (const want of wanted) {
    const key = want.nodeType === 1 ? want.dataset.key : undefined;
    let found = key ? keyed.get(key) : at;
    if (found && (found.nodeType !== want.nodeType || found.nodeName !== want.nodeName)) found = null;
    if (found && !key && found.nodeType === 1 && found.dataset.key) found = null;
    if (!found) {
      old.insertBefore(want, at);
      continue;
    }
    if (found !== at) old.insertBefore(found, at);
    else at = at.nextSibling;
    if (found.nodeType === 3) {
      if (found.data !== want.data) found.data = want.data;
    } else morph(found, want);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

export const count = (n) => (Math.abs(n) < 100000 ? whole.format(Math.round(n)) : short.format(n));
export const rate = (n) => `${n === 0 ? "0" : n < 10 ? n.toFixed(1) : count(n)}/s`;
export const share = (n) => `${Math.round(100 * n)}%`;

export function bytes(n) {
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (n < 1024 || unit === "GiB") return `${n < 10 && unit !== "B" ? n.toFixed(1) : Math.round(n)} ${unit}`;
    n /= 1024;
  }
}

export function seconds(n) {
  if (n === null || n === undefined) return "–";
  if (n < 0.001) return `${Math.round(n * 1e6)} µs`;
  if (n < 1) return `${(n * 1000).toFixed(n < 0.01 ? 1 : 0)} ms`;
  if (n < 60) return `${n.toFixed(n < 10 ? 1 : 0)} s`;
  if (n < 3600) return `${Math.floor(n / 60)} min ${Math.floor(n % 60)} s`;
  if (n < 172800) return `${Math.floor(n / 3600)} h ${Math.floor((n % 3600) / 60)} min`;
  return `${Math.floor(n / 86400)} days`;
}

export const moment = (time) => (time ? new Date(time * 1000).toLocaleString() : "not known");
export const many = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;
