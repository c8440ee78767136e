// Numbers, sizes, times and foreign text, for people. Pure: no DOM; `locale` undefined means the reader's own.

const cache = new Map();

function number_format(locale, options) {
  const key = `${locale}${JSON.stringify(options)}`;
  let format = cache.get(key);
  if (!format) cache.set(key, (format = new Intl.NumberFormat(locale, options)));
  return format;
}

const nothing = "–";
const known = (value) => typeof value === "number" && Number.isFinite(value);

/** 12,345 */
export function count(value, locale) {
  return known(value) ? number_format(locale, { maximumFractionDigits: 0 }).format(value) : nothing;
}

/** 0.42 → 42 % */
export function percent(fraction, locale, digits = 0) {
  if (!known(fraction)) return nothing;
  return number_format(locale, { style: "percent", maximumFractionDigits: digits }).format(fraction);
}

export function decimal(value, digits, locale) {
  if (!known(value)) return nothing;
  return number_format(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
}

const size_units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** 999 B, 1.2 KiB, 34 MiB: powers of 1024, two digits below ten. */
export function size(bytes, locale) {
  if (!known(bytes)) return nothing;
  let value = Math.abs(bytes);
  let unit = 0;
  while (value >= (unit === 0 ? 1024 : 1023.5) && unit < size_units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit > 0 && value < 9.95 ? 1 : 0;
  return `${decimal(Math.sign(bytes) * value, digits, locale)} ${size_units[unit]}`;
}

/** 240 µs, 1.4 ms, 12 ms, 1.23 s, 45.6 s, 2 min 05 s, 3 h 20 min */
export function duration(ms, locale) {
  if (!known(ms)) return nothing;
  if (ms < 0) return `−${duration(-ms, locale)}`;
  if (ms < 0.9995) return `${decimal(ms * 1000, 0, locale)} µs`;
  if (ms < 9.95) return `${decimal(ms, 1, locale)} ms`;
  if (ms < 999.5) return `${decimal(ms, 0, locale)} ms`;
  if (ms < 9995) return `${decimal(ms / 1000, 2, locale)} s`;
  if (ms < 59950) return `${decimal(ms / 1000, 1, locale)} s`;
  const seconds = Math.round(ms / 1000);
  const two = (value) => String(value).padStart(2, "0");
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  const minutes = Math.round(seconds / 60);
  return `${count(Math.floor(minutes / 60), locale)} h ${two(minutes % 60)} min`;
}

/** The same for what is redrawn all the time: one decimal of a second, so that the digits do not dance. */
export function ticking(ms, locale) {
  if (!known(ms)) return nothing;
  return ms < 59950 ? `${decimal(ms / 1000, 1, locale)} s` : duration(ms, locale);
}

/** a moment ago, 12 s ago, 3 min ago, 2 h ago */
export function ago(ms, locale) {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 5) return "a moment ago";
  if (seconds < 60) return `${count(seconds, locale)} s ago`;
  if (seconds < 3600) return `${count(Math.floor(seconds / 60), locale)} min ago`;
  return `${count(Math.floor(seconds / 3600), locale)} h ago`;
}

/** CPU time: two decimals below ten seconds, one above. */
export function cpu_seconds(ms, locale) {
  if (!known(ms)) return nothing;
  return `${decimal(ms / 1000, ms < 9995 ? 2 : 1, locale)} s`;
}

/** disk 08c2: the service, and enough of the id to tell its requests apart. */
export function request_name({ service, id }) {
  return `${service} ${String(id).slice(0, 4)}`;
}

/** A path without its directories. */
export function file_name(path) {
  return String(path).split("/").at(-1);
}

/** disk.cpp:122 */
export function place({ file, line }) {
  return `${file_name(file)}:${line}`;
}

/** The name of a C++ function without its parameters, those of its templates, and what it returns. */
export function function_name(signature) {
  let name = signature.replaceAll("(anonymous namespace)::", "").replaceAll("operator()", "operator\0");
  for (let longer; longer !== name; ) {
    longer = name;
    name = name.replace(/<[^<>()]*>|\([^<>()]*\)/g, "");
  }
  name = name.replace(/( const| volatile|&+)+$/, "");
  return (/[^\s]*operator .*$|[^\s]+$/.exec(name)?.[0] ?? signature).replaceAll("\0", "()");
}

// Characters that show nothing or that reorder what is around them. Joiners (U+200C, U+200D) stay: scripts need them.
const invisible =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udfff]|\p{Cn}/gu;

/**
 * Splits foreign text into what can be shown as it is and what has to be spelled out: a list of { text, code }, where
 * `code` is the U+… name of a character that would be invisible, and null for ordinary text.
 */
export function visible_parts(text) {
  const parts = [];
  let from = 0;
  for (const match of text.matchAll(invisible)) {
    if (match.index > from) parts.push({ text: text.slice(from, match.index), code: null });
    parts.push(spell_out(match[0]));
    from = match.index + match[0].length;
  }
  if (from < text.length) parts.push({ text: text.slice(from), code: null });
  return parts;
}

/** The same as one string, for titles and labels. */
export function visible(text) {
  return visible_parts(text)
    .map((part) => part.text)
    .join("");
}

function spell_out(character) {
  const value = character.codePointAt(0);
  const code = `U+${value.toString(16).toUpperCase().padStart(4, "0")}`;
  const short = { 9: "\\t", 10: "\\n", 13: "\\r" }[value];
  if (short) return { text: short, code };
  return { text: value < 0x100 ? `\\x${value.toString(16).padStart(2, "0")}` : `\\u{${value.toString(16)}}`, code };
}

/** The time budget as typed, in seconds, with a comma or a point: { ms } or { problem }. */
export function parse_budget(text, min_ms, max_ms, locale) {
  const typed = text.trim().replace(",", ".");
  if (typed === "") return { problem: "Give the budget in seconds, for example 10." };
  if (!/^(\d+\.?\d*|\.\d+)$/.test(typed)) return { problem: "The budget is a number of seconds, for example 2.5." };
  const ms = Math.round(Number(typed) * 1000);
  const seconds = (value) => number_format(locale, { maximumFractionDigits: 3 }).format(value / 1000);
  if (ms < min_ms) return { problem: `The budget is ${seconds(min_ms)} seconds at least.` };
  if (ms > max_ms) return { problem: `The budget is ${seconds(max_ms)} seconds at most.` };
  return { ms };
}
