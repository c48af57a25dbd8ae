// The page: what the URL says, what was heard, and what is drawn of both.

import { showBar } from "./bar.js";
import { Chart } from "./chart.js";
import { ask, follow, rowsOf } from "./data.js";
import { byId, el, say } from "./dom.js";
import * as format from "./format.js";
import { showIngest } from "./ingest.js";
import { MOST_WINDOWS, RANGES, read, write } from "./state.js";
import { TEXTS } from "./texts.js";
import { NOTHING, showTiles } from "./tiles.js";
import { Tops } from "./tops.js";

const STALE_MS = 5000;

let site = null; // what there is
let state = null; // what the URL says
let texts = TEXTS.en;
let charts = [];
let cursor = null;
let stop = () => {};
let asked = new AbortController();
const heard = {}; // rows, overview, ingest, trouble; chosen: the overview of the chosen window
let heardAt = 0;
let skew = 0; // the worker's clock less the browser's
let connected = false;

const tops = new Tops(byId("tops"), { choose, zoom: () => zoomInto(state.at) });
const iso = (ms) => new Date(ms).toISOString();

function go(changes, keep = false) {
  const wanted = { ...state, ...changes };
  const same = wanted.range === state.range && wanted.from === state.from && wanted.to === state.to && wanted.size === state.size;
  state = read(write(wanted), site.sizes);
  history[keep ? "replaceState" : "pushState"](null, "", write(state));
  if (!same) subscribe();
  dress();
}

function choose(at) {
  const row = at === null || heard.rows?.rows.has(at);
  if (at === state.at || !row) return;
  go({ at });
  askChosen();
}

function zoom(from, to) {
  const finer = site.sizes.filter((size) => size <= state.size && (to - from) / 1000 / size <= MOST_WINDOWS);
  go({ range: null, from, to, size: Math.min(...finer, state.size), at: null });
}

const zoomInto = (at) => zoom(at, at + state.size * 1000);
const zoomable = () => site.sizes.some((size) => size < state.size && state.size / size <= MOST_WINDOWS);

/** Ask for the window that is chosen. What is known of it stays until there is more. */
async function askChosen() {
  const at = state.at;
  if (heard.chosenAt !== at) heard.chosen = undefined;
  heard.chosenAt = at;
  if (at === null) return draw();
  draw();
  const to = at + state.size * 1000;
  try {
    const { overview } = await ask(`kpi/overview?from=${iso(at)}&to=${iso(to)}`, asked.signal);
    if (state.at === at) heard.chosen = overview;
  } catch (error) {
    if (error.name !== "AbortError" && state.at === at) heard.chosen ??= null;
  }
  draw();
}

/** Follow, or ask for, what the state says. */
function subscribe() {
  stop();
  asked.abort();
  asked = new AbortController();
  for (const name of ["rows", "overview", "chosen", "chosenAt"]) delete heard[name];
  connected = false;
  const query = state.range ? `?size=${state.size}&range=${RANGES[state.range]}` : "";
  stop = follow(query, hear, () => {
    connected = false;
    pulse();
  });
  if (!state.range) askStanding(asked.signal);
  if (state.at !== null) askChosen();
}

async function askStanding(signal) {
  const { from, to, size } = state;
  const span = `from=${iso(from)}&to=${iso(to)}`;
  try {
    const { windows } = await ask(`kpi/windows?size=${size}&${span}`, signal);
    heard.rows = { from, to, sizeS: size, rows: rowsOf(windows), follows: "standing" };
    draw();
    const { overview } = await ask(`kpi/overview?${span}`, signal);
    heard.overview = overview ?? null;
    draw();
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error.status === 400) heard.overview = { tooMuch: true };
    else setTimeout(() => signal.aborted || askStanding(signal), STALE_MS);
    draw();
  }
}

function hear(name, data) {
  connected = true;
  heardAt = Date.now();
  if (name === "trouble") heard.trouble = data;
  else if (name === "rows" || !state.range) delete heard.trouble; // the books can be there while the rows are not
  if (name === "rows") hearRows(data);
  else if (name === "overview") heard.overview = data;
  else if (name === "ingest") {
    heard.ingest = data;
    skew = Date.parse(data.at) - Date.now();
    showIngest(byId("ingest"), data, texts);
  }
  if (name !== "ingest") draw();
  pulse();
  notes();
}

function hearRows({ from, to, follows, all, columns, rows }) {
  const span = { from: Date.parse(from), to: Date.parse(to), sizeS: state.size, follows };
  const known = all ? new Map() : heard.rows?.rows ?? new Map();
  for (const [at, row] of rowsOf(rows, columns)) known.set(at, row);
  for (const at of known.keys()) if (at < span.from || at >= span.to) known.delete(at);
  heard.still = !all && heard.rows?.from === span.from && !rows.length;
  heard.rows = { ...span, rows: known };
  if (state.at !== null && (state.at < span.from || state.at >= span.to)) go({ at: null }, true); // the range has moved on
  else if (state.at !== null && rows.some((row) => Date.parse(row[0]) === state.at)) askChosenSoon();
}

let soon = null;
function askChosenSoon() {
  soon ??= setTimeout(() => {
    soon = null;
    askChosen();
  }, STALE_MS);
}

/** Draw what was heard. */
function draw() {
  if (!heard.rows) return;
  const chosen = state.at === null ? null : heard.rows.rows.get(state.at) ?? NOTHING;
  if (!heard.still) for (const chart of charts) chart.show(heard.rows);
  heard.still = false;
  for (const chart of charts) chart.point(cursor, state.at);
  const overview = heard.overview?.tooMuch ? null : heard.overview;
  showTiles(byId("tiles"), heard.rows, overview, chosen, Date.now() + skew, texts);
  drawTops(overview);
  showBar(byId("bar"), state, site.sizes, heard.rows, texts, go);
  notes();
}

function drawTops(overview) {
  const { from, to, sizeS } = heard.rows;
  const picked = state.at !== null;
  const span = picked ? { from: state.at, to: state.at + sizeS * 1000, chosen: true, sizeS } : { from, to, chosen: false };
  span.key = picked || !state.range ? `${span.from}/${span.to}` : `${state.range}/${sizeS}`; // a range that moves stays the same
  const of = picked ? heard.chosen : overview;
  if (of === undefined) span.note = "…";
  else if (heard.overview?.tooMuch && !picked) span.note = texts.tooMuch;
  const news = [of, span.from, span.to, picked, span.note, texts];
  if (!tops.news || news.some((one, i) => one !== tops.news[i])) tops.show(of ?? null, span, texts, zoomable());
  tops.news = news;
}

function notes() {
  const said = [];
  if (heard.trouble) said.push(["bad", texts.away(format.clock(Date.parse(heard.trouble.since), true))]);
  if (heard.rows && !heard.rows.rows.size && state.range && !heard.ingest?.partitions.some((one) => one.counted)) said.push(["", texts.nothingYet]);
  else if (heard.rows?.follows === "last") said.push(["", texts.last(format.moment(heard.rows.to))]);
  const key = JSON.stringify(said);
  if (byId("notes").dataset.said === key) return;
  byId("notes").dataset.said = key;
  byId("notes").replaceChildren(...said.map(([kind, text]) => el("p", { class: `banner ${kind}` }, text)));
}

function pulse() {
  const fresh = connected && !heard.trouble && Date.now() - heardAt < STALE_MS * 4;
  const kind = fresh ? "good" : heardAt ? "bad" : "";
  byId("pulse").className = `pulse ${kind}`;
  say(byId("pulse"), fresh ? (state.range ? texts.live : texts.standing) : heardAt ? texts.lost : texts.connecting);
}

function point(at) {
  cursor = at;
  for (const chart of charts) chart.point(cursor, state.at);
}

/** Everything that depends on language, colours or size. */
function dress() {
  texts = TEXTS[state.lang];
  format.configure(state.lang, site.zone);
  document.documentElement.lang = state.lang;
  document.documentElement.dataset.theme = state.theme;
  document.title = `${site.topic} · kpi_app`;
  say(byId("topic"), site.topic);
  for (const node of document.querySelectorAll("[data-text]")) say(node, texts[node.dataset.text]);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", texts[node.dataset.label]);
  const made = `${state.lang}`;
  if (byId("charts").dataset.made !== made) {
    byId("charts").dataset.made = made;
    charts = makeCharts();
    byId("charts").replaceChildren(...charts.map((chart) => chart.node));
  }
  byId("foot").replaceChildren(el("span", {}, `${texts.times(format.zoneName())} ${texts.keys}`), el("span", {}, `kpi_app ${site.version}`));
  if (heard.ingest) showIngest(byId("ingest"), heard.ingest, texts);
  showBar(byId("bar"), state, site.sizes, heard.rows ?? null, texts, go);
  heard.still = false;
  pulse();
  draw();
}

function makeCharts() {
  const of = (name) => (row) => row[name];
  const on = { cursor: point, choose, zoom };
  const describe = { nothing: () => texts.nothing, whole: () => texts.wholeRange };
  const status = (n) => ({ name: `${n}xx`, color: `c${n}`, kind: "bar", of: of(`status_${n}xx`) });
  const other = { name: texts.other, color: "co", kind: "bar", of: (row) => row.status_other + row.status_1xx };
  const line = (name, color, column, kind = "line") => ({ name, color, kind, of: of(column) });
  const specs = [
    { title: texts.byStatus, note: texts.hint, wide: true, height: 250, whole: true, stacked: true, axis: format.short, format: format.count,
      series: [status(2), status(3), status(4), status(5), other] },
    { title: texts.perSecondTitle, height: 180, axis: format.short, format: format.short,
      series: [{ name: texts.peak, color: "ca", kind: "line", of: of("peak_requests_per_second") },
        { name: texts.mean, color: "c2", kind: "area", of: (row) => row.requests / lasted(row) }] },
    { title: texts.percentiles, height: 180, axis: (s) => (s ? format.duration(s) : "0"), format: format.duration, without: texts.noTimes,
      series: [line("p99", "ce", "request_time_p99"), line("p95", "cd dashes", "request_time_p95"), line("p90", "cb dots", "request_time_p90"), line("p50", "c2", "request_time_p50", "area")] },
    { title: texts.visitorsTitle, height: 180, whole: true, axis: format.short, format: format.figure,
      series: [line(texts.people, "cb", "unique_visitors", "area"), line(texts.botRequests, "co", "bot_requests")] },
  ];
  return specs.map((spec) => new Chart(spec, on, describe));
}

/** How long a window has been going on, seconds: the one that is not over yet has not had all of its requests. */
function lasted(row) {
  const since = (Date.now() + skew - Date.parse(row.window_start)) / 1000;
  return since > 0 && since < state.size ? Math.max(1, since) : state.size;
}

async function start() {
  try {
    site = await ask("kpi/site");
  } catch {
    setTimeout(start, STALE_MS);
    return;
  }
  state = read(location.search, site.sizes);
  dress();
  subscribe();
  addEventListener("popstate", () => {
    state = read(location.search, site.sizes);
    subscribe();
    dress();
  });
  setInterval(pulse, 1000);
}

start();
