// The bar: range, window size, back and forth, language and colours.

import { el } from "./dom.js";
import * as format from "./format.js";
import { LANGUAGES, MOST_WINDOWS, RANGES, THEMES, sizesFor, write } from "./state.js";

const NAMES = { en: "English", es: "Español" };

function select(id, label, value, options, changed) {
  return el("label", { class: "pick" }, el("span", {}, label),
    el("select", { id, onchange: (event) => changed(event.target.value) },
      ...options.map(([key, text]) => el("option", { value: key, selected: String(key) === String(value) }, text))));
}

/**
 * `go(changes, replace)` goes to another state; `shown` is the span on the screen, or null. Made anew only when it would
 * look different: a select that is open would close, a click in between be lost.
 */
export function showBar(host, state, sizes, shown, texts, go) {
  const rangeS = state.range ? RANGES[state.range] : (state.to - state.from) / 1000;
  const usable = state.range ? sizesFor(rangeS, sizes) : sizes.filter((size) => rangeS / size <= MOST_WINDOWS);
  host.span = shown ?? (state.range ? null : state);
  const key = write(state) + (host.span ? "+" : "-");
  if (host.key === key && host.texts === texts) return;
  Object.assign(host, { key, texts });
  const move = (direction) => {
    const { span } = host;
    const step = Math.max(1, Math.round(rangeS / state.size / 2)) * state.size * 1000 * direction;
    go({ range: null, from: span.from + step, to: span.to + step, at: null });
  };
  const ranges = Object.keys(RANGES).filter((name) => sizesFor(RANGES[name], sizes).length);
  const focused = document.activeElement?.id;
  host.setAttribute("aria-label", texts.range);
  host.replaceChildren(
    el("div", { class: "group", role: "group", "aria-label": texts.range },
      ...ranges.map((name) => el("button", { type: "button", id: `range-${name}`, "aria-pressed": String(state.range === name), onclick: () => go({ range: name, at: null, size: 0 }) }, name))),
    el("div", { class: "group" },
      el("button", { type: "button", id: "earlier", "aria-label": texts.earlier, title: texts.earlier, disabled: !host.span, onclick: () => move(-1) }, "‹"),
      el("button", { type: "button", id: "later", "aria-label": texts.later, title: texts.later, disabled: !host.span || Boolean(state.range), onclick: () => move(1) }, "›"),
      el("button", { type: "button", id: "now", "aria-pressed": String(Boolean(state.range)), onclick: () => go({ range: state.range ?? "6h", at: null, size: state.range ? state.size : 0 }) }, texts.now)),
    select("size", texts.window, state.size, usable.map((size) => [size, format.span(size)]), (size) => go({ size: Number(size), at: null })),
    select("lang", texts.language, state.lang, LANGUAGES.map((name) => [name, NAMES[name]]), (lang) => go({ lang }, true)),
    select("theme", texts.theme, state.theme, THEMES.map((name) => [name, texts[name]]), (theme) => go({ theme }, true)));
  if (focused && document.getElementById(focused) && host.querySelector(`#${CSS.escape(focused)}`)) document.getElementById(focused).focus();
}
