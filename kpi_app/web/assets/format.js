// Numbers and times for people, in their language and the installation's time zone.

let locale = "en";
let zone = "UTC";
let made = {};

/** `language` of the texts; `timeZone` of `KPI_TIMEZONE`, UTC where the browser does not know it. */
export function configure(language, timeZone) {
  const own = navigator.languages.find((one) => one.toLowerCase().startsWith(language));
  locale = own || (language === "en" ? "en-GB" : language);
  try {
    new Intl.DateTimeFormat("en", { timeZone });
    zone = timeZone;
  } catch {
    zone = "UTC";
  }
  made = {};
}

export const zoneName = () => zone;

const numbers = (options) =>
  (made[`n${JSON.stringify(options)}`] ??= new Intl.NumberFormat(locale, { useGrouping: "always", ...options }));
const times = (options) =>
  (made[`t${JSON.stringify(options)}`] ??= new Intl.DateTimeFormat(locale, {
    timeZone: zone,
    hourCycle: "h23",
    ...options,
  }));

/** 12,345 */
export const count = (n) => numbers({ maximumFractionDigits: 0 }).format(n);

/** 12.3K: for axes and small places. */
export const short = (n) =>
  Math.abs(n) < 1000
    ? numbers({ maximumFractionDigits: n < 10 ? 2 : 1 }).format(n)
    : numbers({ notation: "compact", maximumFractionDigits: 1 }).format(n);

/** Up to 9,999 in full, then 12.3K. */
export const figure = (n) => (Math.abs(n) < 100_000 ? count(n) : short(n));

/** 0.52 % */
export const share = (part, whole) => {
  const percent = whole ? (100 * part) / whole : 0;
  return `${numbers({ maximumFractionDigits: percent < 1 ? 2 : 1 }).format(percent)} %`;
};

/** 12.3 MB */
export function bytes(n) {
  let unit = 0;
  while (n >= 1000 && unit < 6) {
    n /= 1000;
    unit += 1;
  }
  const digits = unit && n < 100 ? 1 : 0;
  return `${numbers({ maximumFractionDigits: digits }).format(n)} ${["B", "kB", "MB", "GB", "TB", "PB", "EB"][unit]}`;
}

/** 12 ms, 1.2 s: of seconds. */
export function duration(s) {
  if (s === null || s === undefined) return "–";
  if (s < 0.9995) return `${numbers({ maximumSignificantDigits: s < 0.1 ? 2 : 3 }).format(s * 1000)} ms`;
  return `${numbers({ maximumFractionDigits: s < 10 ? 2 : 1 }).format(s)} s`;
}

/** 45 s, 12 min, 3 h, 5 d: how long ago. */
export function age(s) {
  const whole = Math.max(0, Math.round(s));
  if (whole < 90) return `${whole} s`;
  if (whole < 5400) return `${Math.round(whole / 60)} min`;
  if (whole < 172_800) return `${Math.round(whole / 3600)} h`;
  return `${count(Math.round(whole / 86_400))} d`;
}

/** 1m, 6h, 30d: of seconds, as settings write it. */
export function span(s) {
  for (const [unit, size] of [["d", 86_400], ["h", 3600], ["m", 60]]) if (s % size === 0) return `${s / size}${unit}`;
  return `${s}s`;
}

const DAY = { month: "short", day: "numeric" };
const CLOCK = { hour: "2-digit", minute: "2-digit" };

/** A window's time, as exact as its size asks for. */
export function time(ms, sizeS = 60) {
  // a day of UTC begins on the evening before, or in the morning, where the wall's clock is elsewhere
  const clock = wallSeconds(ms) % 86_400 ? CLOCK : {};
  if (sizeS >= 86_400) return times({ weekday: "short", ...DAY, year: "numeric", ...clock }).format(ms);
  return times({ ...DAY, ...CLOCK, ...(sizeS < 60 ? { second: "2-digit" } : {}) }).format(ms);
}

/** The time alone. */
export const clock = (ms, seconds = false) =>
  times({ ...CLOCK, ...(seconds ? { second: "2-digit" } : {}) }).format(ms);

/** Date, year and time. */
export const moment = (ms) => times({ ...DAY, year: "numeric", ...CLOCK }).format(ms);

/** For an axis whose ticks are `stepS` apart: days where they are days, the date at midnight. */
export function tick(ms, stepS) {
  const isMidnight = wallSeconds(ms) % 86_400 === 0;
  if (stepS >= 86_400 || isMidnight) return times(DAY).format(ms);
  return times(stepS < 60 ? { ...CLOCK, second: "2-digit" } : CLOCK).format(ms);
}

/** Seconds since the epoch of what the clock on the wall shows. */
function wallSeconds(ms) {
  const parts = (made.wall ??= new Intl.DateTimeFormat("en-GB", {
    timeZone: zone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  })).formatToParts(ms);
  const of = Object.fromEntries(parts.map(({ type, value }) => [type, Number(value)]));
  return Date.UTC(of.year, of.month - 1, of.day, of.hour, of.minute, of.second) / 1000;
}

const STEPS = [1, 5, 10, 30, 60, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800];

/** Times for the ticks of an axis from `from` to `to` (milliseconds), at most `most`, at round times of the wall. */
export function ticks(from, to, most) {
  const length = (to - from) / 1000;
  const stepS = STEPS.find((step) => length / step <= most) ?? Math.ceil(length / most / 2_592_000) * 2_592_000;
  const found = [];
  for (let at = from - (wallSeconds(from) % stepS) * 1000; at < to; at += stepS * 1000) {
    // where clocks were changed in between, the wall is off by the change
    const off = wallSeconds(at) % stepS;
    const moved = stepS > 3600 ? at - (off > stepS / 2 ? off - stepS : off) * 1000 : at;
    if (moved >= from && moved < to) found.push(moved);
  }
  return { stepS, at: found };
}
