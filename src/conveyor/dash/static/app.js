// Which view is shown, what comes for it, and what a person does.

import { count, h, many, morphChildren } from "./dom.js";
import { VIEWS, itemsPanel } from "./views.js";

const settings = document.querySelector("meta[name=conveyor]").dataset;
const main = document.getElementById("main");
const status = document.getElementById("status");
const dialog = document.getElementById("dialog");
const note = document.getElementById("note");

const state = { view: "", id: "", data: null, filter: "", sort: {}, series: [], items: {}, readOnly: settings.readOnly === "true" };
let source = null;

// ---- what is shown

function where() {
  const [view, id] = location.hash.replace(/^#\/?/, "").split("/");
  return VIEWS[view] ? [view, decodeURIComponent(id || "")] : ["overview", ""];
}

function go() {
  if (location.hash === "#main") return;
  const [view, id] = where();
  const changed = view !== state.view || id !== state.id;
  Object.assign(state, { view, id });
  if (changed) {
    Object.assign(state, { data: null, series: [], filter: "" });
    main.replaceChildren(h("p", { class: "quiet" }, "Looking …"));
    window.scrollTo(0, 0);
  }
  document.title = `${VIEWS[view].title} – conveyor`;
  const links = Object.entries(VIEWS).filter(([, each]) => !each.within);
  morphChildren(
    document.getElementById("nav"),
    h("nav", null, links.map(([name, each]) =>
      h("a", { href: `#/${name}`, "aria-current": name === (VIEWS[view].within || view) ? "page" : null }, each.title))),
  );
  listen();
}

function listen() {
  if (source) source.close();
  source = null;
  if (document.hidden) return;
  const { view, id } = state;
  source = new EventSource(`/events?view=${view}&id=${encodeURIComponent(id)}`);
  source.addEventListener(view, (event) => {
    const data = JSON.parse(event.data);
    if (view === "queue") {
      const newest = state.series.length ? state.series[state.series.length - 1][0] : 0;
      state.series = [...state.series, ...data.series.filter((row) => row[0] > newest)].slice(-600);
    }
    state.data = data;
    tell("live", "live");
    draw();
  });
  source.addEventListener("gone", () => {
    source.close();
    tell("live", "live");
    main.replaceChildren(h("h1", null, "Gone"), h("p", null, "This queue is not there any more. "), h("p", null, h("a", { href: "#/queues" }, "All queues")));
  });
  source.onerror = () => tell("lost", "connection lost");
}

function tell(kind, words) {
  if (status.className !== kind) status.className = kind;
  if (status.textContent !== words) status.textContent = words;
}

function draw() {
  if (state.data === null) return;
  morphChildren(main, h("main", null, VIEWS[state.view].draw(state.data, state)));
}

// ---- what a person does

const acts = {
  sort(button) {
    const { table, column } = button.dataset;
    const before = state.sort[table];
    state.sort[table] = { column, down: before && before.column === column ? !before.down : column !== "title" };
    draw();
  },
  async peek(button) {
    await peek(button.dataset.id);
  },
  hide(button) {
    delete state.items[button.dataset.id];
    draw();
  },
  purge(button) {
    const { id, title, depth } = button.dataset;
    ask(`Purge ${title}?`, [h("p", null, `${many(Number(depth), "item")} will be thrown away. This cannot be undone.`)], "Purge", true,
      async () => say(`${many((await post(id, "purge", {})).purged, "item")} thrown away`));
  },
  move(button) {
    move(button.dataset, "move", "Move what waits in", "Move");
  },
  retry(button) {
    move(button.dataset, "retry", "Retry the dead letters of", "Retry");
  },
};

async function peek(id) {
  try {
    const answer = await fetch(`/api/queues/${encodeURIComponent(id)}/items?n=20`);
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error);
    state.items[id] = { items: found.items, at: new Date().toLocaleTimeString() };
  } catch (error) {
    state.items[id] = { items: [], error: error.message, at: new Date().toLocaleTimeString() };
  }
  draw();
}

async function move({ id, title, depth }, verb, words, button) {
  const [queues, brokers] = await Promise.all(["queues", "brokers"].map(async (name) => (await fetch(`/api/${name}`)).json()));
  const targets = [
    ...(verb === "retry" && id.startsWith("broker-") ? [[id, "itself: what its broker has set aside"]] : []),
    ...queues.filter((each) => each.id !== id && !each.ended && !each.error).map((each) => [each.id, `${each.title} (${each.url || each.id})`]),
    ...brokers.filter((each) => each.may_act && `broker-${each.number}` !== id).map((each) => [`broker-${each.number}`, each.url]),
  ];
  if (!targets.length) return say("There is no other queue to move them to.");
  const chosen = h("select", { name: "to" }, targets.map(([value, text]) => h("option", { value }, text)));
  ask(`${words} ${title}?`, [
    h("p", null, `${verb === "move" ? many(Number(depth), "item") : "Dead letters"} will be taken and put into the queue that you choose, each at least once.`),
    h("label", null, "Into ", chosen),
  ], button, false, async () => say(`${many((await post(id, verb, { to: chosen.value })).moved, "item")} moved`));
}

async function post(id, verb, body) {
  const answer = await fetch(`/api/queues/${encodeURIComponent(id)}/${verb}`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-conveyor-token": settings.csrf },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  let found = {};
  try {
    found = JSON.parse(text);
  } catch {
    found = { error: text };
  }
  if (!answer.ok) throw new Error(found.error || answer.statusText);
  if (state.items[id]) await peek(id);
  return found;
}

function ask(title, content, word, danger, act) {
  const yes = h("button", { type: "button", class: danger ? "danger" : "primary", "data-yes": true }, word);
  const no = h("button", { type: "button", autofocus: true }, "Cancel");
  dialog.replaceChildren(h("h2", { id: "dialog-title" }, title), ...content, h("div", { class: "right" }, no, yes));
  no.addEventListener("click", () => dialog.close());
  yes.addEventListener("click", async () => {
    yes.disabled = no.disabled = true;
    try {
      await act();
    } catch (error) {
      say(`Not done: ${error.message}`);
    }
    dialog.close();
  });
  dialog.showModal();
}

let silence = 0;
function say(words) {
  note.textContent = words;
  clearTimeout(silence);
  silence = setTimeout(() => (note.textContent = ""), 8000);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (button) acts[button.dataset.act](button);
});
document.addEventListener("input", (event) => {
  if (event.target.id === "filter") {
    state.filter = event.target.value;
    draw();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
  const filter = document.getElementById("filter");
  if (event.key === "/" && filter) {
    event.preventDefault();
    filter.focus();
  }
  const links = document.querySelectorAll("#nav a");
  if (/^[1-9]$/.test(event.key) && links[event.key - 1]) links[event.key - 1].click();
});
window.addEventListener("hashchange", go);
document.addEventListener("visibilitychange", listen);
go();
