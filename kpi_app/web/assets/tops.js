// Top lists: a card a dimension. Values are strangers' words: texts, isolated from the text around them.

import { el } from "./dom.js";
import * as format from "./format.js";
import { ask } from "./data.js";

const ORDER = ["path", "status", "client", "referrer", "browser", "os", "device", "bot", "method", "host", "protocol"];
const MORE = 50;

/** How a value is shown: a backslash stands before one that itself starts with "(". */
function shown(value, texts) {
  if (value === "(other)") return { text: texts.valueOther, special: true };
  if (value === "(none)") return { text: texts.valueNone, special: true };
  return { text: value.startsWith("\\(") ? value.slice(1) : value, special: false };
}

function entry(row, dimension, total, most, texts) {
  const { text, special } = shown(row.value, texts);
  const bar = el("span", { class: "fill" });
  const part = special ? 0 : row.requests / (most || 1); // the rest, and what is missing, would make all others' too short to see
  bar.style.width = `${(100 * part).toFixed(1)}%`;
  const status = dimension === "status" && /^[1-5]\d\d$/.test(row.value) ? `s${row.value[0]}` : "";
  const errors = row.errors && dimension !== "status"
    ? el("span", { class: "errors", title: texts.errorsOf(format.count(row.errors)) }, format.short(row.errors))
    : null;
  const error = row.requests_error ? ` ±${format.short(row.requests_error)}` : "";
  return el("li", { class: `${special ? "special" : ""} ${status}` },
    bar,
    el("bdi", { class: "value", title: text }, text),
    errors,
    el("span", { class: "count", title: format.count(row.requests) + error }, format.figure(row.requests) + error),
    el("span", { class: "share" }, format.share(row.requests, total)));
}

export class Tops {
  /** `choose(null)` goes back to the whole range, `zoom()` into the chosen window. */
  constructor(host, on) {
    this.host = host;
    this.on = on;
    this.open = new Map(); // dimension → { rows } of its longer list, or { tooMuch }
  }

  /**
   * Show the lists of an overview of `[from, to)`; `chosen`: it is one window, of `sizeS`; null: it is not known yet. Lists
   * stay longer for as long as the span's `key` is the same, and are asked for again when the overview is another one.
   */
  show(overview, span, texts, zoomable) {
    if (span.key !== this.key) this.open.clear();
    this.key = span.key;
    const isNew = overview !== this.last?.[0];
    this.last = [overview, span, texts, zoomable];
    const what = span.chosen ? `${format.time(span.from, span.sizeS)} · ${format.span(span.sizeS)}` : texts.wholeRange;
    const head = el("div", { class: "head" },
      el("h2", {}, texts.tops, " ", el("small", {}, texts.of(what))),
      span.chosen && zoomable && el("button", { type: "button", id: "zoom", onclick: () => this.on.zoom() }, texts.zoom),
      span.chosen && el("button", { type: "button", id: "clear", onclick: () => this.on.choose(null) }, `✕ ${texts.clear}`));
    const note = span.note ?? texts.nothing;
    const cards = ORDER.filter((name) => overview?.tops[name]?.length).map((name) => this.#card(name, overview, texts));
    const focused = document.activeElement?.id;
    const scrolled = new Map([...this.host.querySelectorAll("article")].map((card) => [card.dataset.dimension, card.querySelector("ol").scrollTop]));
    this.host.replaceChildren(head, !cards.length ? el("p", { class: "empty" }, note) : el("div", { class: "cards" }, ...cards));
    for (const card of cards) card.querySelector("ol").scrollTop = scrolled.get(card.dataset.dimension) ?? 0;
    if (focused && this.host.querySelector(`#${CSS.escape(focused)}`)) document.getElementById(focused).focus();
    if (isNew) for (const name of this.open.keys()) this.#ask(name, () => this.open.has(name));
  }

  #card(name, overview, texts) {
    const longer = this.open.get(name);
    const rows = longer?.rows ?? overview.tops[name];
    const most = Math.max(...rows.filter((row) => !shown(row.value, texts).special).map((row) => row.requests), 0);
    const full = longer || rows.some((row) => row.value === "(other)" && row.requests);
    return el("article", { class: "card", "data-dimension": name },
      el("h3", {}, texts.dimension[name] ?? name),
      el("ol", { class: longer?.rows ? "long" : "", tabindex: longer?.rows ? 0 : null },
        ...rows.filter((row) => row.requests).map((row) => entry(row, name, overview.requests, most, texts))),
      longer?.tooMuch && el("p", { class: "empty" }, texts.tooMuch),
      full && el("button", { type: "button", id: `more-${name}`, "aria-expanded": String(Boolean(longer)), onclick: () => this.#toggle(name) },
        longer ? texts.less : texts.more));
  }

  #toggle(name) {
    if (!this.open.delete(name)) return this.#ask(name, () => true);
    this.show(...this.last);
  }

  /** Ask for a longer list, and show it if it is still `wanted()`. */
  async #ask(name, wanted) {
    const [, { from, to, key }] = this.last;
    const iso = (ms) => new Date(ms).toISOString();
    const query = new URLSearchParams({ from: iso(from), to: iso(to), by: name, top: MORE });
    let found;
    try {
      found = { rows: (await ask(`kpi/report?${query}`)).rows };
    } catch (error) {
      if (error.status !== 400) return; // it is said above when Postgres is away
      found = { tooMuch: true };
    }
    if (key !== this.key || !wanted()) return;
    this.open.set(name, found);
    this.show(...this.last);
  }
}
