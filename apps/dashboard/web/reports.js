// What the panels show: one function per kind, from the data to an element.

import { el, foreign, lossy_mark, path_name, progress_bar } from "./dom.js";
import { count, decimal, duration, percent, size, visible } from "./format.js";
import { GarbageError } from "./ndjson.js";

const first_rows = 8;
const longest_text = 20_000;

/** Throws GarbageError when the data is not what the kind promises. */
export function render_report(kind, data) {
  const render = { vitals, packages, disk, source }[kind] ?? source;
  try {
    return el("div", { class: "report" }, render(data));
  } catch (error) {
    throw new GarbageError(`the report is not as agreed (${error.message})`);
  }
}

function vitals(data) {
  const { memory, cores, load, processes } = data;
  const swap_used = memory.swap_total - memory.swap_free;
  return [
    el(
      "div",
      {},
      facts([
        [
          "load",
          load.map((value) => decimal(value, 2)).join("  "),
          `over 1, 5 and 15 minutes, on ${count(cores)} cores`,
        ],
        ["memory", share("memory in use", memory.used, memory.total)],
        memory.swap_total > 0 ? ["swap", share("swap in use", swap_used, memory.swap_total)] : null,
        ["up", duration(data.uptime_s * 1000)],
        ["host", foreign(data.hostname)],
        ["kernel", foreign(data.kernel)],
      ]),
    ),
    table(
      `Busiest of ${count(data.process_count)} processes`,
      [["process"], ["CPU", "n"], ["memory", "n"]],
      processes.map((process) => [
        [
          foreign(process.name, { class: "strong" }),
          el("span", { class: "light" }, ` ${process.pid}, `, foreign(process.user)),
        ],
        percent(process.cpu_percent / 100, undefined, 1),
        size(process.rss_bytes),
      ]),
      5,
    ),
  ];
}

function packages(data) {
  return [
    facts([
      ["packages", count(data.packages)],
      ["installed size", size(data.size_bytes)],
      ["dependencies", count(data.dependencies)],
    ]),
    data.query ? search_result(data) : null,
    table(
      "Heaviest, with all they need",
      [["package"], ["needs", "n"], ["in all", "n"], ["would free", "n"]],
      data.heaviest.map((item) => [
        package_name(item),
        count(item.closure_packages),
        size(item.closure_size_bytes),
        size(item.freed_size_bytes),
      ]),
    ),
    table(
      "By section",
      [["section"], ["packages", "n"], ["size", "n"]],
      data.sections.map((item) => [foreign(item.section), count(item.packages), size(item.size_bytes)]),
      5,
    ),
  ];
}

function search_result({ query, found, found_total }) {
  const title = [`${count(found_total)} found for `, foreign(query)];
  if (found.length === 0) return el("p", { class: "caption" }, title);
  return table(
    title,
    [["package"], ["size", "n"]],
    found.map((item) => [
      [package_name(item), foreign(item.description ?? "", { class: "description" })],
      size(item.size_bytes),
    ]),
    5,
  );
}

const package_name = ({ name, version }) => foreign(name, { class: "strong", title: visible(`${name} ${version}`) });

function disk(data) {
  return [
    facts([
      ["directory", foreign(data.root)],
      ["files", count(data.files)],
      ["in all", size(data.bytes)],
      data.unreadable > 0 ? ["not readable", count(data.unreadable)] : null,
      ["duplicates waste", size(data.wasted_bytes)],
    ]),
    table(
      "Largest files",
      [["file"], ["size", "n"]],
      data.largest.map((file) => [path_name(file), size(file.bytes)]),
    ),
    table(
      `Duplicates, ${count(data.duplicate_groups)} groups`,
      [["files of the same content"], ["each", "n"], ["wasted", "n"]],
      data.duplicates.map((group) => [copies(group), size(group.bytes), size(group.wasted_bytes)]),
      5,
    ),
  ];
}

function copies({ paths, count: copies_count }) {
  const [first, ...others] = paths;
  const left_out = copies_count - paths.length;
  return el(
    "details",
    {},
    el("summary", {}, path_name(first), el("span", { class: "light" }, `and ${count(copies_count - 1)} more`)),
    el(
      "ul",
      {},
      others.map((file) => el("li", {}, path_name(file))),
      left_out > 0 ? el("li", { class: "light" }, `and ${count(left_out)} that are not listed`) : null,
    ),
  );
}

function source(data) {
  const text = "text" in data ? String(data.text) : JSON.stringify(data.json, null, 2);
  const cut = text.length > longest_text;
  return [
    facts([
      ["from", foreign(data.url)],
      ["type", foreign(data.content_type ?? "–")],
      ["size", size(data.bytes)],
    ]),
    el(
      "pre",
      { tabindex: "0", "aria-label": "What the source answered" },
      ...lines(cut ? text.slice(0, longest_text) : text),
    ),
    data.name_is_lossy ? lossy_mark() : null,
    cut ? el("p", { class: "light" }, `Cut after ${count(longest_text)} characters.`) : null,
  ];
}

/** Keeps the line breaks of a text and spells out what else would be invisible. */
function lines(text) {
  return text.split(/\r?\n/).flatMap((line, i) => (i > 0 ? ["\n", foreign(line)] : [foreign(line)]));
}

function facts(rows) {
  return el(
    "dl",
    { class: "facts" },
    rows.filter(Boolean).map(([name, value, title]) => el("div", { title }, el("dt", {}, name), el("dd", {}, value))),
  );
}

function share(label, part, whole) {
  const text = `${size(part)} of ${size(whole)}`;
  const bar = new progress_bar(label, "meter");
  bar.set(whole > 0 ? part / whole : 0, text);
  return el("span", { class: "share" }, bar.element, text);
}

/** columns: [title, "n" for numbers]; more rows than `rows_shown` hide behind a button. */
function table(title, columns, rows, rows_shown = first_rows) {
  const body = el("tbody");
  const add = (list) =>
    body.append(
      ...list.map((row) =>
        el(
          "tr",
          {},
          row.map((cell, i) => el("td", { class: columns[i][1] }, cell)),
        ),
      ),
    );
  add(rows.slice(0, rows_shown));
  const element = el(
    "div",
    { class: "list" },
    el(
      "table",
      {},
      el("caption", { class: "caption" }, title),
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          columns.map(([name, kind]) => el("th", { scope: "col", class: kind }, name)),
        ),
      ),
      body,
    ),
  );
  const rest = rows.slice(rows_shown);
  if (rest.length > 0) {
    const more = el("button", { type: "button", class: "quiet" }, `Show ${count(rest.length)} more`);
    more.addEventListener("click", () => {
      const at = body.rows.length;
      add(rest);
      more.remove();
      body.rows[at].tabIndex = -1;
      body.rows[at].focus({ preventScroll: true }); // or the focus would fall off the page with the button
    });
    element.append(more);
  }
  return element;
}
