// What is shown, which is what the URL says.

export const RANGES = { "1h": 3600, "6h": 21_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000, "1y": 31_536_000 };
export const MOST_WINDOWS = 400;
export const LANGUAGES = ["en", "es"];
export const THEMES = ["auto", "light", "dark"];

/** Sizes that a range of so many seconds can be shown in. */
export const sizesFor = (rangeS, sizes) =>
  sizes.filter((size) => rangeS % size === 0 && rangeS / size <= MOST_WINDOWS && rangeS / size >= 1);

/** The size that shows a range best: the smallest that fits. */
const bestSize = (rangeS, sizes) => Math.min(...sizesFor(rangeS, sizes));

function time(text) {
  const ms = text ? Date.parse(text) : NaN;
  return Number.isFinite(ms) ? ms : null;
}

const iso = (ms) => new Date(ms).toISOString().replace(".000Z", "Z");

/** The state that a URL's query says; what it says wrongly is left out. Times are milliseconds. */
export function read(search, sizes) {
  const query = new URLSearchParams(search);
  const language = navigator.languages.map((one) => one.slice(0, 2)).find((one) => LANGUAGES.includes(one)) ?? "en";
  const state = {
    range: null,
    from: time(query.get("from")),
    to: time(query.get("to")),
    at: time(query.get("at")),
    size: Number(query.get("size")),
    lang: LANGUAGES.includes(query.get("lang")) ? query.get("lang") : language,
    theme: THEMES.includes(query.get("theme")) ? query.get("theme") : "auto",
    ownLang: language,
  };
  if (state.from !== null && state.to !== null && state.from < state.to) {
    const usable = sizes.filter((size) => (state.to - state.from) / 1000 / size <= MOST_WINDOWS);
    if (usable.length) {
      if (!usable.includes(state.size)) state.size = usable[0];
      const step = state.size * 1000; // whole windows
      state.from = Math.floor(state.from / step) * step;
      state.to = Math.ceil(state.to / step) * step;
      state.at = windowOf(state);
      return state;
    }
  }
  const can = Object.keys(RANGES).filter((name) => sizesFor(RANGES[name], sizes).length);
  const wanted = query.get("range");
  state.range = can.includes(wanted) ? wanted : can.includes("6h") ? "6h" : can[0];
  state.from = state.to = null;
  if (!sizesFor(RANGES[state.range], sizes).includes(state.size)) state.size = bestSize(RANGES[state.range], sizes);
  state.at = windowOf(state);
  return state;
}

/** The start of the window that `at` is in; null where the range does not have it. */
function windowOf({ at, from, to, size }) {
  if (at === null || (from !== null && (at < from || at >= to))) return null;
  return Math.floor(at / (size * 1000)) * size * 1000;
}

/** The query that says a state. */
export function write(state) {
  const query = new URLSearchParams();
  if (state.range) query.set("range", state.range);
  else {
    query.set("from", iso(state.from));
    query.set("to", iso(state.to));
  }
  query.set("size", state.size);
  if (state.at !== null) query.set("at", iso(state.at));
  if (state.lang !== state.ownLang) query.set("lang", state.lang);
  if (state.theme !== "auto") query.set("theme", state.theme);
  return `?${query}`.replaceAll("%3A", ":");
}
