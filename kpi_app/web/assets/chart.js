// Charts over time, as SVG: bars that stack, lines and areas; a cursor that all of them share; one can drag, and use keys.

import { el, say, svg } from "./dom.js";
import * as format from "./format.js";

const LEFT = 48;
const RIGHT = 10;
const TOP = 10;
const BOTTOM = 22;
const DRAGGED = 6; // pixels: less is a click

/** Round values for an axis from 0 to at least `most`. */
function levels(most, whole) {
  if (!(most > 0)) return [0, 1];
  const raw = most / 5;
  const power = 10 ** Math.floor(Math.log10(raw));
  let step = [1, 2, 2.5, 5, 10].find((one) => one * power >= raw) * power;
  if (whole) step = Math.max(1, Math.ceil(step));
  const found = [];
  for (let i = 0; i === 0 || (i - 1) * step < most; i += 1) found.push(i * step);
  return found;
}

export class Chart {
  /**
   * `spec`: title, note, height, whole, format(value), and series of { name, color (a class), kind: "bar" | "line" | "area", of(row) }.
   * `on`: cursor(ms | null), choose(ms), zoom(from, to).
   */
  constructor(spec, on, describe) {
    this.spec = spec;
    this.on = on;
    this.describe = describe;
    this.data = null;
    this.cursor = null;
    this.chosen = null;
    this.legend = spec.series.map((series) => {
      const value = el("span", { class: "value" });
      return { value, node: el("li", { class: series.color }, el("i"), el("span", {}, series.name), value) };
    });
    this.plot = svg("g");
    this.over = svg("g", { class: "over" });
    this.drawing = svg("svg", {
      tabindex: 0,
      role: "slider",
      "aria-label": spec.title,
      "aria-orientation": "horizontal",
      onpointermove: (event) => this.#move(event),
      onpointerleave: () => this.#leave(),
      onpointerdown: (event) => this.#down(event),
      onpointerup: (event) => this.#up(event),
      onpointercancel: () => (this.drag = null),
      onkeydown: (event) => this.#key(event),
      onblur: () => on.cursor(null),
    }, this.plot, this.over);
    this.empty = el("p", { class: "empty", hidden: true });
    this.when = el("span", { class: "when" });
    this.node = el("figure", { class: `chart ${spec.wide ? "wide" : ""}` },
      el("figcaption", {}, el("h2", {}, spec.title), this.when),
      el("ul", { class: "legend" }, ...this.legend.map((one) => one.node)),
      el("div", { class: "canvas" }, this.drawing, this.empty));
    new ResizeObserver(() => this.draw()).observe(this.drawing.parentNode);
  }

  /** Show `data`: { from, to, sizeS, rows: Map }. */
  show(data) {
    this.data = data;
    this.draw();
  }

  /** Point at a window, and mark the chosen one; null is none. */
  point(cursor, chosen) {
    this.cursor = cursor;
    this.chosen = chosen;
    this.#drawOver();
  }

  #x(ms) {
    const { from, to } = this.data;
    return LEFT + ((ms - from) / (to - from)) * (this.width - LEFT - RIGHT);
  }

  #y(value) {
    return this.height - BOTTOM - (value / this.most) * (this.height - TOP - BOTTOM);
  }

  draw() {
    const width = this.drawing.parentNode.clientWidth;
    if (!this.data || !width) return;
    this.width = width;
    this.height = this.spec.height;
    this.drawing.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
    this.drawing.setAttribute("height", this.height);
    const rows = [...this.data.rows].filter(([at]) => at >= this.data.from && at < this.data.to).sort((a, b) => a[0] - b[0]);
    this.points = rows;
    const { series, stacked } = this.spec;
    const lines = series.filter((one) => !stacked || one.kind !== "bar");
    const sums = stacked ? rows.map(([, row]) => series.reduce((sum, one) => sum + (one.kind === "bar" ? one.of(row) : 0), 0)) : [];
    const values = rows.flatMap(([, row]) => lines.map((one) => one.of(row))).filter((value) => value !== null);
    const known = Boolean(sums.length || values.length);
    this.empty.hidden = known;
    this.drawing.classList.toggle("bare", !known);
    say(this.empty, rows.length ? this.spec.without ?? "" : this.describe.nothing());
    const marks = levels(Math.max(0, ...sums, ...values), this.spec.whole);
    this.most = marks.at(-1);
    this.plot.replaceChildren(...this.#axes(known ? marks : []), ...this.#bars(rows), ...lines.flatMap((one) => this.#line(one, rows)));
    this.#drawOver();
  }

  #axes(marks) {
    const { from, to } = this.data;
    const { stepS, at } = format.ticks(from, to, Math.max(2, Math.floor((this.width - LEFT) / 74)));
    const floor = this.height - BOTTOM;
    return [
      ...marks.flatMap((mark) => [
        svg("path", { class: mark ? "grid" : "floor", d: `M${LEFT} ${this.#y(mark)}H${this.width - RIGHT}` }),
        svg("text", { class: "axis", x: LEFT - 6, y: this.#y(mark) + 3.5, "text-anchor": "end" }, this.spec.axis(mark)),
      ]),
      ...at.filter((ms) => this.#x(ms) > LEFT + 12 && this.#x(ms) < this.width - 20).flatMap((ms) => [
        svg("path", { class: "tick", d: `M${this.#x(ms)} ${floor}v4` }),
        svg("text", { class: "axis", x: this.#x(ms), y: this.height - 6, "text-anchor": "middle" }, format.tick(ms, stepS)),
      ]),
    ];
  }

  #bars(rows) {
    const step = this.data.sizeS * 1000;
    const full = this.#x(this.data.from + step) - LEFT;
    const gap = full > 3 ? Math.min(2, full * 0.2) : 0;
    const below = new Map();
    return this.spec.series.filter((one) => one.kind === "bar").flatMap((one) => {
      const paths = { closed: "", open: "" };
      for (const [at, row] of rows) {
        const value = one.of(row);
        if (!value) continue;
        const base = below.get(at) ?? 0;
        below.set(at, base + value);
        const x = this.#x(at) + gap / 2;
        const low = this.#y(base);
        const high = Math.min(this.#y(base + value), low - 0.6); // a single error is to be seen, too
        paths[row.closed ? "closed" : "open"] += `M${x.toFixed(1)} ${low.toFixed(1)}h${(full - gap).toFixed(1)}V${high.toFixed(1)}h${(gap - full).toFixed(1)}z`;
      }
      return Object.entries(paths).filter(([, d]) => d).map(([kind, d]) => svg("path", { class: `bar ${one.color} ${kind}`, d }));
    });
  }

  #line(one, rows) {
    const step = this.data.sizeS * 1000;
    const runs = [];
    let before = null;
    for (const [at, row] of rows) {
      const value = one.of(row);
      if (value === null) continue;
      if (before === null || at - before > step) runs.push([]);
      runs.at(-1).push({ x: this.#x(at + step / 2), y: this.#y(value), closed: row.closed });
      before = at;
    }
    const dots = runs.filter((run) => run.length === 1).map(([{ x, y }]) => svg("circle", { class: `dot ${one.color}`, cx: x, cy: y, r: 1.6 }));
    const text = (run) => run.map(({ x, y }, i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
    // a stretch for each two neighbours: of those that may still change, another one
    const kinds = { closed: "", open: "" };
    for (const run of runs) {
      let kind = null;
      for (let i = 1; i < run.length; i += 1) {
        const now = run[i].closed && run[i - 1].closed ? "closed" : "open";
        kinds[now] += now === kind ? text([run[i]]).replace("M", "L") : text([run[i - 1], run[i]]);
        kind = now;
      }
    }
    const floor = this.height - BOTTOM;
    const area = one.kind === "area" ? runs.map((run) => `${text(run)}V${floor}H${run[0].x.toFixed(1)}z`).join("") : "";
    return [
      ...(area ? [svg("path", { class: `area ${one.color}`, d: area })] : []),
      ...Object.entries(kinds).filter(([, d]) => d).map(([kind, d]) => svg("path", { class: `line ${one.color} ${kind}`, d })),
      ...dots,
    ];
  }

  #drawOver() {
    if (!this.data || !this.width) return;
    const step = this.data.sizeS * 1000;
    const inside = (ms) => ms !== null && ms >= this.data.from && ms < this.data.to;
    const shapes = [];
    const band = (from, to, kind) => {
      const x = this.#x(from);
      shapes.push(svg("rect", { class: kind, x, y: TOP - 4, width: Math.max(1, this.#x(to) - x), height: this.height - TOP - BOTTOM + 4 }));
    };
    if (inside(this.chosen)) band(this.chosen, this.chosen + step, "chosen");
    if (this.drag?.to) band(...this.#dragged(), "dragged");
    else if (inside(this.cursor)) {
      const x = this.#x(this.cursor + step / 2);
      shapes.push(svg("path", { class: "cursor", d: `M${x} ${TOP - 4}V${this.height - BOTTOM}` }));
    }
    this.over.replaceChildren(...shapes);
    const at = inside(this.cursor) ? this.cursor : inside(this.chosen) ? this.chosen : null;
    const row = at === null ? null : this.data.rows.get(at);
    say(this.when, at === null ? this.spec.note ?? "" : format.time(at, this.data.sizeS));
    this.legend.forEach(({ value }, i) => {
      const read = row ? this.spec.series[i].of(row) : null;
      say(value, at === null ? "" : read === null ? (row ? "–" : "0") : this.spec.format(read));
    });
    const last = Math.round((this.data.to - this.data.from) / step) - 1;
    const index = at === null ? last : Math.round((at - this.data.from) / step);
    const attributes = { "aria-valuemin": 0, "aria-valuemax": last, "aria-valuenow": index };
    attributes["aria-valuetext"] = at === null ? this.describe.whole() : `${format.time(at, this.data.sizeS)}: ${
      this.spec.series.map((one, i) => `${one.name} ${this.legend[i].value.textContent}`).join(", ")}`;
    for (const [name, value] of Object.entries(attributes)) this.drawing.setAttribute(name, value);
  }

  #at(event) {
    const box = this.drawing.getBoundingClientRect();
    const share = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
    const { from, to, sizeS } = this.data;
    const index = Math.floor((share * (to - from)) / (sizeS * 1000));
    return from + Math.min(Math.max(index, 0), Math.round((to - from) / (sizeS * 1000)) - 1) * sizeS * 1000;
  }

  #dragged() {
    const [low, high] = [this.drag.from, this.drag.to].sort((a, b) => a - b);
    return [low, high + this.data.sizeS * 1000];
  }

  #move(event) {
    if (!this.data) return;
    const at = this.#at(event);
    if (this.drag && Math.abs(event.clientX - this.drag.x) > DRAGGED && event.pointerType !== "touch") this.drag.to = at;
    this.on.cursor(at);
  }

  #leave() {
    this.drag = null;
    this.on.cursor(null);
  }

  #down(event) {
    if (this.data && event.button === 0) this.drag = { from: this.#at(event), to: null, x: event.clientX };
  }

  #up(event) {
    const drag = this.drag;
    if (!drag) return;
    const zoomed = drag.to !== null && drag.to !== drag.from ? this.#dragged() : null;
    this.drag = null;
    if (zoomed) this.on.zoom(...zoomed);
    else this.on.choose(this.#at(event));
  }

  #key(event) {
    if (!this.data) return;
    const { from, to, sizeS } = this.data;
    const step = sizeS * 1000;
    const at = this.cursor ?? this.chosen ?? to;
    const moves = { ArrowLeft: at - step, ArrowRight: at + step, PageUp: at + 10 * step, PageDown: at - 10 * step, Home: from, End: to - step };
    if (event.key in moves) this.on.cursor(Math.min(Math.max(moves[event.key], from), to - step));
    else if (event.key === "Enter" || event.key === " ") this.on.choose(this.cursor);
    else if (event.key === "Escape") this.on.choose(null);
    else return;
    event.preventDefault();
  }
}

/** A line without axes, of values that may be null. */
export function sparkline(values, color) {
  const [width, height] = [120, 28];
  const most = Math.max(...values.filter((value) => value !== null), 0) || 1;
  const points = values.map((value, i) => (value === null ? null : `${((i / Math.max(1, values.length - 1)) * width).toFixed(1)} ${(height - 2 - (value / most) * (height - 4)).toFixed(1)}`));
  let d = "";
  points.forEach((point, i) => {
    if (point !== null) d += `${i && points[i - 1] !== null ? "L" : "M"}${point}`;
  });
  return svg("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("path", { class: `line ${color}`, d }));
}
