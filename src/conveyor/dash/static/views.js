// Each view: a title, and how its data is drawn.

import { bar, chart, pressure, spark, strip } from "./charts.js";
import { bytes, count, h, many, moment, rate, seconds, share } from "./dom.js";

const empty = (words) => h("p", { class: "empty" }, words);
const pill = (words, kind = "") => h("span", { class: `pill ${kind}` }, words);
const card = (value, word, { href, kind = "", more = null } = {}) =>
  h(href ? "a" : "div", { class: `card ${kind}`, href }, h("b", null, value), h("span", { class: "word" }, word), more);
const scrolled = (label, ...inside) => h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": label }, inside);
const table = (label, head, rows) =>
  scrolled(label, h("table", null, h("thead", null, h("tr", null, head)), h("tbody", null, rows)));
const th = (words, kind = "") => h("th", { scope: "col", class: kind }, words);

function sorted(rows, state, name, start) {
  const { column, down } = state.sort[name] || start;
  const value = (row) => (row[column] === null ? -1 : row[column]);
  const compare = (a, b) => (typeof value(a) === "string" ? value(a).localeCompare(value(b)) : value(a) - value(b));
  return [...rows].sort((a, b) => (down ? -compare(a, b) : compare(a, b)) || a.title.localeCompare(b.title));
}

function sorting(state, name, start) {
  const now = state.sort[name] || start;
  return (column, words, kind = "") =>
    h(
      "th",
      { scope: "col", class: kind, "aria-sort": now.column === column ? (now.down ? "descending" : "ascending") : null },
      h("button", { type: "button", "data-act": "sort", "data-table": name, "data-column": column }, words),
    );
}

// ---- overview

function overview(data, state) {
  const cards = [
    card(count(data.queues), `queues, ${many(data.waiting, "item")} waiting`, { href: "#/queues", more: spark(data.spark, "items waiting over the last minute") }),
    card(rate(data.in_rate), "put, all queues"),
    card(rate(data.out_rate), "taken, all queues"),
    card(count(data.blocked), "queues where a put waits for room", { kind: data.blocked ? "care" : "" }),
    card(count(data.dead), "items dead, in no dead letters", { kind: data.dead ? "alarm" : "" }),
    card(count(data.topics), `topics, lag ${count(data.lag)}`, { href: "#/topics" }),
    card(count(data.pipelines.filter((each) => each.phase !== "idle").length), "pipelines at work", { href: "#/pipelines" }),
    card(count(data.failures), "failures in them", { href: "#/failures", kind: data.failures ? "alarm" : "" }),
    card(count(data.processes), "processes", { href: "#/processes" }),
    card(bytes(data.memory), `memory, with ${many(data.others, "other segment")}`),
  ];
  return [
    h("h1", null, `Overview of ${data.host}`),
    h("div", { class: "cards" }, cards),
    h("h2", null, "Queues under most pressure"),
    data.hot.length ? queueTable(data.hot, state, null) : empty("No queue of yours is open in any process. Try: conveyor demo"),
    data.pipelines.length ? [h("h2", null, "Pipelines"), data.pipelines.map((each) => flow(each))] : null,
    data.brokers.length ? [h("h2", null, "Brokers"), brokerTable(data.brokers)] : null,
  ];
}

// ---- queues

const START = { column: "pressure", down: true };

function queueTable(rows, state, name) {
  const head = name ? sorting(state, name, START) : (_, words, kind) => th(words, kind);
  const bound = (row) => (row.max_items ? ` / ${count(row.max_items)}` : "");
  return table(
    "Queues",
    [
      head("title", "queue", "l"),
      head("depth", "waiting"),
      head("pressure", "pressure"),
      th("last minute", "l opt"),
      head("in_rate", "in"),
      head("out_rate", "out"),
      head("oldest_age", "oldest"),
      head("wait_p50", "wait p50", "opt"),
      head("wait_p99", "wait p99", "opt"),
      head("producers", "producers", "opt"),
      head("consumers", "consumers", "opt"),
      th("who waits", "l opt"),
      head("memory", "memory", "opt"),
    ],
    rows.map((row) =>
      h(
        "tr",
        { "data-key": row.id },
        h("td", { class: "l name" }, h("a", { href: `#/queue/${encodeURIComponent(row.id)}`, title: row.url || "anonymous" }, row.title), " ",
          row.ended ? pill("ended") : null, row.dead ? pill(`${count(row.dead)} dead`, "bad") : null),
        h("td", null, count(row.depth), h("span", { class: "quiet" }, bound(row))),
        h("td", null, share(row.pressure), bar(row.pressure)),
        h("td", { class: "l opt" }, spark(row.spark, `depth of ${row.title} over the last minute`)),
        h("td", null, rate(row.in_rate)),
        h("td", null, rate(row.out_rate)),
        h("td", null, (row.oldest_at_least ? ">" : "") + seconds(row.oldest_age)),
        h("td", { class: "opt" }, seconds(row.wait_p50)),
        h("td", { class: "opt" }, seconds(row.wait_p99)),
        h("td", { class: "opt" }, count(row.producers)),
        h("td", { class: "opt" }, count(row.consumers)),
        h("td", { class: "l opt" }, row.wait_for_room ? pill(`room ${seconds(row.wait_for_room)}`, "warn") : null,
          row.wait_for_item ? pill(`item ${seconds(row.wait_for_item)}`) : null),
        h("td", { class: "opt" }, bytes(row.memory)),
      )),
  );
}

function queues(rows, state) {
  const word = state.filter.toLowerCase();
  const shown = rows.filter((row) => `${row.title} ${row.url || ""}`.toLowerCase().includes(word));
  return [
    h("h1", null, "Queues"),
    h("div", { class: "tools" }, h("input", { id: "filter", type: "search", placeholder: "Filter  ( / )", "aria-label": "Filter queues", "data-kept": true }),
      h("span", { class: "quiet" }, word ? `${shown.length} of ${rows.length}` : many(rows.length, "queue"))),
    shown.length ? queueTable(sorted(shown, state, "queues", START), state, "queues") : empty(word ? "No queue is called that." : "No queue of yours is open in any process. Try: conveyor demo"),
  ];
}

function tools(id, title, depth, state, mayAct) {
  if (!mayAct && !state.readOnly) return null;  // to look is not to act
  const data = { "data-id": id, "data-title": title, "data-depth": depth, type: "button" };
  return h("div", { class: "tools" },
    h("button", { ...data, "data-act": "peek" }, "Peek"),
    state.readOnly ? null : [
      h("button", { ...data, "data-act": "move" }, "Move …"),
      h("button", { ...data, "data-act": "retry" }, "Retry dead letters …"),
      h("button", { ...data, "data-act": "purge", class: "danger" }, "Purge …"),
    ]);
}

export function itemsPanel(id, state) {
  const found = state.items[id];
  if (!found) return null;
  const one = (item) =>
    h("li", null, pill(item.type), " ", h("code", null, item.text),
      item.dead ? h("div", { class: "bad" }, `${item.error || "rejected"} (${many(item.attempts, "attempt")}, process ${item.pid})`) : null);
  return h("section", { "aria-label": "Items" },
    h("div", { class: "tools" }, h("b", null, `The first ${many(found.items.length, "item")}, at ${found.at}`),
      h("button", { type: "button", "data-act": "hide", "data-id": id }, "Hide")),
    found.error ? h("p", { class: "bad" }, found.error) : found.items.length ? h("ol", { class: "items" }, found.items.map(one)) : empty("Nothing waits."));
}

function queue(data, state) {
  const row = data.queue;
  const times = state.series.map((each) => each[0]);
  const column = (n) => state.series.map((each) => each[n]);
  const role = { producer: "puts", consumer: "takes", both: "puts and takes", attached: "has it open" };
  return [
    h("p", null, h("a", { href: "#/queues" }, "← All queues")),
    h("h1", null, row.title, " ", row.ended ? pill("ended") : null, row.url ? null : pill("anonymous")),
    h("p", { class: "quiet" }, [row.url && row.url !== row.title ? row.url : null, data.place && data.place !== row.title ? `made at ${data.place}` : null, data.maker ? `by process ${data.maker}` : null, data.made ? moment(data.made) : null].filter(Boolean).join(" · ")),
    row.error ? h("p", { class: "bad" }, row.error) : null,
    tools(row.id, row.title, row.depth, state, data.may_act),
    itemsPanel(row.id, state),
    h("div", { class: "cards" },
      card(count(row.depth), row.max_items ? `waiting, of ${count(row.max_items)}` : `waiting, at most ${count(row.peak_depth)}`),
      card(rate(row.in_rate), `in, ${count(data.items_in)} in all`),
      card(rate(row.out_rate), `out, ${count(data.items_out)} in all`),
      card((row.oldest_at_least ? ">" : "") + seconds(row.oldest_age), "age of the oldest"),
      card(`${seconds(row.wait_p50)} / ${seconds(row.wait_p99)}`, "wait p50 / p99, last minute"),
      card(seconds(data.put_blocked_seconds), `puts slept, ${count(data.put_waits)} times`, { kind: row.wait_for_room ? "care" : "" }),
      card(seconds(data.get_blocked_seconds), `gets slept, ${count(data.get_waits)} times`),
      card(count(row.leased), `leased; ${count(data.returned)} came back and wait`),
      card(count(row.dead), "dead, in no dead letters", { kind: row.dead ? "alarm" : "" }),
      card(bytes(row.memory), `memory; ${bytes(data.memory_lent)} lent`)),
    h("div", { class: "charts" },
      chart("Items waiting", times, [["waiting", "", column(1)]], count),
      chart("Items per second", times, [["in", "", column(2)], ["out", "out", column(3)]], rate)),
    h("h2", null, "Who waits"),
    data.waiters.length
      ? table("Who waits", [th("process"), th("thread"), th("for", "l"), th("since")],
        data.waiters.map((each) => h("tr", { "data-key": each.thread }, h("td", null, each.pid), h("td", null, each.thread), h("td", { class: "l" }, each.what), h("td", null, seconds(each.seconds)))))
      : h("p", { class: "quiet" }, "Nobody has waited for long."),
    h("h2", null, "Who has it open"),
    data.processes.length ? processTable(data.processes, role) : h("p", { class: "quiet" }, "No process."),
  ];
}

function processTable(rows, role) {
  return table("Processes", [th("pid"), role ? th("does", "l") : null, th("state", "l opt"), th("cpu"), th("memory"), th("command", "l")],
    rows.map((each) => h("tr", { "data-key": each.pid }, h("td", null, each.pid), role ? h("td", { class: "l" }, role[each.role]) : null,
      h("td", { class: "l opt" }, each.state), h("td", null, each.cpu === null ? "–" : share(each.cpu)), h("td", null, bytes(each.rss)), h("td", { class: "w" }, h("code", null, each.command)))));
}

const processes = (rows) => [h("h1", null, "Processes"), rows.length ? processTable(rows, null) : empty("No process has anything of conveyor's open.")];

// ---- topics

function topics(rows) {
  return [
    h("h1", null, "Topics"),
    rows.length
      ? table("Topics", [th("topic", "l"), th("published"), th("rate"), th("last minute", "l opt"), th("kept"), th("slowest lag"), th("memory", "opt"), th("subscribers", "l")],
        rows.map((row) => h("tr", { "data-key": row.id }, h("td", { class: "l name" }, row.title), h("td", null, count(row.published)), h("td", null, rate(row.rate)),
          h("td", { class: "l opt" }, spark(row.spark, `events per second in ${row.title}`)), h("td", null, `${bytes(row.bytes_kept)} / ${bytes(row.max_bytes)}`),
          h("td", null, count(row.lag)), h("td", { class: "opt" }, bytes(row.memory)),
          h("td", { class: "w" }, row.subscribers.map((each) => [pill(`${each.pid}: lag ${count(each.lag)}, missed ${count(each.missed)}${each.alive ? "" : ", dead"}`, each.alive ? (each.missed ? "warn" : "") : "bad"), " "])))))
      : empty("No topic of yours is open in any process."),
  ];
}

// ---- pipelines

function flow(pipeline, heading = "h3") {
  const done = pipeline.total ? ` of ${count(pipeline.total)} (${share(pipeline.taken / pipeline.total)})` : "";
  const stage = (each) =>
    h("li", { "data-key": each.name },
      h("span", { class: "edge" }, `${count(each.waiting)} →`),
      h("div", { class: `stage ${pressure(each.pressure)} ${each.bottleneck ? "neck" : ""}` },
        h("b", null, each.name), h("span", null, `${rate(each.rate)} · ${share(each.pressure)} busy`), h("br"),
        h("span", null, `${count(each.taken)} in, ${count(each.given)} out`),
        each.feeds.length > 1 ? [h("br"), h("span", null, `→ ${each.feeds.join(", ")}`)] : null,
        each.failures ? [h("br"), pill(many(each.failures, "failure"), "bad")] : null,
        each.bottleneck ? [h("br"), pill("bottleneck", "bad")] : null, each.ended ? [h("br"), pill("ended")] : null));
  return h("section", { "data-key": pipeline.id, "aria-label": `${pipeline.name} (${pipeline.id})` },
    h(heading, null, pipeline.name),
    h("p", { class: "quiet" }, `${pipeline.kind === "pipeline" ? "" : `${pipeline.kind} of `}process ${pipeline.pid} · ${seconds(pipeline.seconds)} · ${count(pipeline.taken)} taken${done} · ${count(pipeline.results)} done · ${count(pipeline.in_flight)} in flight · ${many(pipeline.failures, "failure")}${pipeline.left === null ? "" : ` · ${seconds(pipeline.left)} left`}${pipeline.phase === "running" ? "" : ` · ${pipeline.phase}`}`),
    pipeline.error ? h("p", { class: "bad" }, pipeline.error) : null,
    pipeline.age > 5 ? h("p", { class: "warn" }, `Its process has said nothing for ${seconds(pipeline.age)}: it is stopped, or held up by who takes the results.`) : null,
    pipeline.bottleneck ? h("p", null, h("b", null, `Bottleneck: ${pipeline.bottleneck}`)) : null,
    h("ol", { class: "flow" }, pipeline.stages.map(stage)));
}

function pipelines(rows) {
  const workers = (stage) => stage.workers.map((each, n) =>
    h("tr", { "data-key": `${stage.name} ${n}` }, h("td", { class: "l" }, stage.name), h("td", null, each.pid || "here"),
      h("td", { class: "l" }, pill(each.state, each.state === "busy" ? "good" : each.state === "gone" ? "bad" : each.state === "retrying" ? "warn" : "")),
      h("td", { class: "l opt" }, strip(each.timeline)), h("td", null, share(each.busy), bar(each.busy)), h("td", null, count(each.items)),
      h("td", null, seconds(each.item_age)), h("td", { class: "opt" }, count(each.restarts)), h("td", { class: "opt" }, each.rss === null ? "–" : bytes(each.rss)), h("td", { class: "w opt" }, each.end)));
  return [
    h("h1", null, "Pipelines"),
    rows.length ? rows.map((each) => [
      flow(each, "h2"),
      h("div", { "data-key": `workers ${each.id}` },
        table(`Workers of ${each.name} (${each.id})`, [th("stage", "l"), th("worker"), th("state", "l"), th("timeline", "l opt"), th("busy"), th("items"), th("current item"), th("restarts", "opt"), th("memory", "opt"), th("end", "l opt")], each.stages.map(workers))),
    ]) : empty("No pipeline is at work. Try: conveyor run examples/logs.py:pipeline"),
  ];
}

// ---- failures

function failures(rows) {
  return [
    h("h1", null, "Failures"),
    rows.length ? rows.map((row) => {
      const { failure } = row;
      return h("section", { "data-key": `${row.pid} ${failure.stage} ${failure.kind}`, "aria-label": `${failure.kind} in ${failure.stage}, process ${row.pid}` },
        h("h2", null, h("span", { class: "bad" }, failure.kind), ` × ${count(failure.count)}`),
        h("p", { class: "quiet" }, `${row.pipeline} (process ${row.pid}), stage ${failure.stage}, last at ${moment(failure.time)}${failure.where ? `, in ${failure.where}` : ""}`),
        h("p", null, failure.message), h("p", null, "Last item: ", h("code", null, failure.item)),
        failure.traceback ? h("details", null, h("summary", null, "Traceback"), h("pre", { tabindex: 0 }, failure.traceback)) : null);
    }) : empty("Nothing has failed in the pipelines that are at work."),
  ];
}

// ---- brokers

function brokerTable(rows) {
  const figure = (row, name, format) => h("td", null, row.figures[name] === null || row.figures[name] === undefined ? "–" : format(row.figures[name]));
  return table("Brokers", [th("URL", "l"), th("state", "l"), th("waiting"), th("last minutes", "l opt"), th("leased"), th("dead"), th("in", "opt"), th("out", "opt"), th("published", "opt"), th("fetched", "opt")],
    rows.map((row) => h("tr", { "data-key": row.number }, h("td", { class: "l name" }, h("code", null, row.url)),
      h("td", { class: "l" }, pill(row.state, row.state === "ok" ? "good" : row.state === "unreachable" ? "bad" : "")),
      figure(row, "depth", count), h("td", { class: "l opt" }, spark(row.spark, `depth of ${row.url}`)), figure(row, "leased", count), figure(row, "dead", count),
      h("td", { class: "opt" }, row.figures.items_in === null || row.figures.items_in === undefined ? "–" : count(row.figures.items_in)),
      h("td", { class: "opt" }, row.figures.items_out === null || row.figures.items_out === undefined ? "–" : count(row.figures.items_out)),
      h("td", { class: "opt" }, row.figures.published === null || row.figures.published === undefined ? "–" : count(row.figures.published)),
      h("td", { class: "opt" }, row.age === null ? "never" : `${seconds(row.age)} ago`))));
}

function brokers(rows, state) {
  return [
    h("h1", null, "Brokers"),
    rows.length ? [
      brokerTable(rows),
      rows.map((row) => {
        const id = `broker-${row.number}`;
        return h("section", { "data-key": id, "aria-label": row.url }, h("h2", null, row.url), row.error ? h("p", { class: "bad" }, row.error) : null,
          tools(id, row.url, row.figures.depth || 0, state, row.may_act && row.state === "ok"), itemsPanel(id, state));
      }),
    ] : empty("None. Name queues and topics on the command line: conveyor dash redis://localhost/0/jobs"),
  ];
}

export const VIEWS = {
  overview: { title: "Overview", draw: overview },
  queues: { title: "Queues", draw: queues },
  topics: { title: "Topics", draw: topics },
  pipelines: { title: "Pipelines", draw: pipelines },
  failures: { title: "Failures", draw: failures },
  processes: { title: "Processes", draw: processes },
  brokers: { title: "Brokers", draw: brokers },
  queue: { title: "Queue", draw: queue, within: "queues" },
};
