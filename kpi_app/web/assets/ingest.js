// Intake: the books, the partitions, and the workers that have them.

import { el } from "./dom.js";
import * as format from "./format.js";

const TEXTUAL = ["worker", "state"];
const FRESH_MS = 60_000; // books that were written this recently have a worker, whether or not its address is its own

const sum = (rows, name) => rows.reduce((total, row) => total + (row[name] ?? 0), 0);

function figure(name, label, value, kind = "", note = "") {
  return el("div", { class: `tile small ${kind}`, "data-name": name }, el("h3", {}, label), el("p", { class: "number" }, value), note && el("p", { class: "note" }, note));
}

/** Show an `ingest` event. */
export function showIngest(host, { at, partitions, workers, here }, texts) {
  const now = Date.parse(at);
  const owners = new Map(Object.entries(workers).flatMap(([url, numbers]) => numbers.map((number) => [number, url])));
  const name = (url) => url.replace(/^https?:\/\//, "").replace(/\/$/, "");
  const total = Object.fromEntries(["lines", "counted", "rejected", "late_dropped", "duplicates", "lost_offsets"].map((column) => [column, sum(partitions, column)]));
  const off = total.lines - total.counted - total.rejected - total.late_dropped - total.duplicates;
  const lags = partitions.map((one) => one.lag);
  const lag = lags.includes(null) ? "–" : format.figure(sum(partitions, "lag"));
  const cell = (text, kind = "") => el("td", { class: kind }, text);
  const worker = ({ partition, updated_at }) => {
    if (owners.has(partition)) return cell(name(owners.get(partition)), "text");
    return now - Date.parse(updated_at) < FRESH_MS ? cell(texts.unknown, "text quiet") : cell(texts.nobody, "text warn");
  };
  const rows = partitions.map((one) => el("tr", {},
    el("th", { scope: "row" }, String(one.partition)),
    worker(one),
    cell(one.lag === null ? "–" : format.count(one.lag), one.lag > 10_000 ? "warn" : ""),
    cell(format.count(one.lines)),
    cell(format.count(one.rejected)),
    cell(format.count(one.late_dropped)),
    cell(one.watermark ? texts.ago(format.age((now - Date.parse(one.watermark)) / 1000)) : "–"),
    cell(one.idle ? texts.idle : texts.active, `text ${one.idle ? "quiet" : "good"}`)));
  const heads = ["partition", "worker", "lag", "lines", "rejected", "dropped", "watermark", "state"];
  const parts = scaffold(host, texts, heads);
  parts.head.replaceChildren(el("h2", {}, texts.ingest), el("small", { class: off ? "bad" : "quiet" }, off ? texts.unbalanced(format.count(off)) : `✓ ${texts.balance}`));
  parts.tiles.replaceChildren(
    figure("lag", texts.lag, lag, "", texts.lagNote),
    figure("lines", texts.lines, format.figure(total.lines)),
    figure("counted", texts.counted, format.figure(total.counted)),
    figure("rejected", texts.rejected, format.figure(total.rejected), total.rejected ? "warn" : "", format.share(total.rejected, total.lines)),
    figure("dropped", texts.dropped, format.figure(total.late_dropped), total.late_dropped ? "warn" : ""),
    figure("duplicates", texts.duplicates, format.figure(total.duplicates)),
    ...(total.lost_offsets ? [figure("lost", texts.lostOffsets, format.figure(total.lost_offsets), "bad")] : []));
  parts.workers.replaceChildren(...Object.entries(workers).map(([url, numbers]) =>
    el("li", { class: url === here ? "here" : "" }, el("b", {}, name(url)), ` ${texts.partitionsOf(numbers.length)}`, numbers.length ? `: ${numbers.join(", ")}` : "", url === here ? ` · ${texts.here}` : "")));
  parts.body.replaceChildren(...rows);
}

/** What stays between two events, so that focus and scrolling do. */
function scaffold(host, texts, heads) {
  if (host.made?.texts === texts) return host.made;
  const made = {
    texts,
    head: el("div", { class: "head" }),
    tiles: el("div", { class: "tiles" }),
    workers: el("ul", { class: "workers", "aria-label": texts.workers }),
    body: el("tbody"),
  };
  const columns = heads.map((head) => el("th", { scope: "col", class: TEXTUAL.includes(head) ? "text" : "" }, texts[head]));
  const table = el("table", {}, el("thead", {}, el("tr", {}, ...columns)), made.body);
  const scroll = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": texts.partition }, table);
  host.replaceChildren(made.head, made.tiles, made.workers, scroll);
  host.made = made;
  return made;
}
