// Figures: of the whole range, or of the chosen window.

import { el } from "./dom.js";
import * as format from "./format.js";
import { sparkline } from "./chart.js";

const sum = (rows, name) => rows.reduce((total, row) => total + row[name], 0);
const most = (rows, name) => rows.reduce((top, row) => Math.max(top, row[name]), 0);

/** The row of a window that no line was counted in. */
export const NOTHING = {
  requests: 0, peak_requests_per_second: 0, bytes_sent: 0, status_4xx: 0, status_5xx: 0, bot_requests: 0, late_requests: 0,
  unique_visitors: 0, request_time_p50: null, request_time_p95: null, request_time_p99: null,
};

/** Every window of the range up to `now`, in order, null where nothing was counted; not the one that is half over. */
function series({ from, to, sizeS, rows }, now, of) {
  const values = [];
  const step = sizeS * 1000;
  for (let at = from; at < to && at + step <= Math.max(now, from + step); at += step) values.push(rows.has(at) ? of(rows.get(at)) : null);
  return values;
}

/** How long a range has been counted for: of one that goes on, what is ahead of now does not count. */
function elapsed({ from, to }, now) {
  return Math.max(1, (Math.min(to, Math.max(now, from + 1000)) - from) / 1000);
}

function tile(name, label, number, note, values, color, kind = "") {
  return el("div", { class: `tile ${kind}`, "data-name": name }, el("h3", {}, label), el("p", { class: "number" }, number),
    el("p", { class: "note" }, note), values && sparkline(values, color));
}

/**
 * Show `data` ({ from, to, sizeS, rows }); `overview` has what can't be summed, null while it is not there; `chosen` is a
 * window's row, or null.
 */
export function showTiles(host, data, overview, chosen, now, texts) {
  const rows = chosen ? [chosen] : [...data.rows.values()];
  const united = chosen ?? overview;
  const requests = sum(rows, "requests");
  const seconds = chosen ? data.sizeS : elapsed(data, now);
  const [failed, refused] = [sum(rows, "status_5xx"), sum(rows, "status_4xx")];
  const [sent, bots, late] = [sum(rows, "bytes_sent"), sum(rows, "bot_requests"), sum(rows, "late_requests")];
  const line = (of) => series(data, now, of);
  const percent = (name) => line((row) => (row.requests ? row[name] / row.requests : null));
  host.replaceChildren(
    tile("requests", texts.requests, format.figure(requests), late ? `${texts.late}: ${format.figure(late)}` : " ", line((row) => row.requests), "c2"),
    tile("load", texts.load, `${format.short(requests / seconds)}${texts.perSecond}`, `${texts.peak} ${format.short(most(rows, "peak_requests_per_second"))}${texts.perSecond}`, line((row) => row.peak_requests_per_second), "ca"),
    tile("visitors", texts.visitors, united ? format.figure(united.unique_visitors) : "…", texts.approximate, line((row) => row.unique_visitors), "cb"),
    tile("time", texts.time, united ? format.duration(united.request_time_p95) : "…",
      united?.request_time_p50 == null ? " " : `p50 ${format.duration(united.request_time_p50)} · p99 ${format.duration(united.request_time_p99)}`,
      line((row) => row.request_time_p95), "cd"),
    tile("failed", texts.serverErrors, format.share(failed, requests), format.count(failed), percent("status_5xx"), "c5", failed ? "bad" : ""),
    tile("refused", texts.clientErrors, format.share(refused, requests), format.count(refused), percent("status_4xx"), "c4"),
    tile("sent", texts.sent, format.bytes(sent), `${format.bytes(requests ? sent / requests : 0)} ${texts.each}`, line((row) => row.bytes_sent), "c3"),
    tile("bots", texts.bots, format.share(bots, requests), `${format.figure(bots)} ${texts.ofBots}`, percent("bot_requests"), "co"));
}
