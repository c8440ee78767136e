// The page's pure modules: numbers and foreign text for people, lines from a stream.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

const web = new URL("../../apps/dashboard/web/", import.meta.url);
const format = await import(new URL("format.js", web));
const { GarbageError, read_ndjson } = await import(new URL("ndjson.js", web));

/** A stream of the given pieces: strings or bytes. */
function stream_of(...pieces) {
  const encoder = new TextEncoder();
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(typeof piece === "string" ? encoder.encode(piece) : piece);
      controller.close();
    },
  });
}

async function all(stream, ...options) {
  const values = [];
  for await (const value of read_ndjson(stream, ...options)) values.push(value);
  return values;
}

describe("read_ndjson", () => {
  test("yields one value per line, wherever the stream is cut", async () => {
    const bytes = new TextEncoder().encode('{"a":1}\n\n{"b":"ü€"}\r\n{"c":[]}');
    const expected = [{ a: 1 }, { b: "ü€" }, { c: [] }];
    for (let cut = 0; cut <= bytes.length; ++cut) {
      assert.deepEqual(await all(stream_of(bytes.slice(0, cut), bytes.slice(cut))), expected, `cut at ${cut}`);
    }
  });

  test("an empty stream has no values", async () => {
    assert.deepEqual(await all(stream_of()), []);
    assert.deepEqual(await all(stream_of("\n", " \n")), []);
  });

  test("broken UTF-8 becomes U+FFFD", async () => {
    assert.deepEqual(await all(stream_of('{"a":"', Uint8Array.of(0xff), '"}')), [{ a: "\ufffd" }]);
  });

  test("yields what comes before garbage, and then says what the garbage was", async () => {
    for (const garbage of ["<html>", "[1]", "null", "17", '{"a":', "x".repeat(1000)]) {
      const values = [];
      await assert.rejects(
        async () => {
          for await (const value of read_ndjson(stream_of('{"a":1}\n', garbage))) values.push(value);
        },
        (error) => error instanceof GarbageError && error.message.length < 120,
        garbage,
      );
      assert.deepEqual(values, [{ a: 1 }]);
    }
  });

  test("a line that does not end is given up", async () => {
    await assert.rejects(all(stream_of("x".repeat(60), "x".repeat(60)), 100), GarbageError);
  });

  test("leaving the loop cancels the stream", async () => {
    let canceled = false;
    const stream = new ReadableStream({
      pull: (controller) => controller.enqueue(new TextEncoder().encode("{}\n")),
      cancel: () => void (canceled = true),
    });
    for await (const value of read_ndjson(stream)) {
      assert.deepEqual(value, {});
      break;
    }
    assert.ok(canceled);
  });
});

describe("format", () => {
  const table = (name, rows) =>
    test(name, () => {
      for (const [value, expected] of rows) assert.equal(format[name](value, "en"), expected);
    });

  table("duration", [
    [0, "0 µs"],
    [0.24, "240 µs"],
    [1.44, "1.4 ms"],
    [12.3, "12 ms"],
    [999.7, "1.00 s"],
    [1234, "1.23 s"],
    [45_600, "45.6 s"],
    [59_990, "1 min 00 s"],
    [125_000, "2 min 05 s"],
    [12_000_000, "3 h 20 min"],
    [-1500, "−1.50 s"],
    [null, "–"],
    [NaN, "–"],
  ]);
  table("ago", [
    [0, "a moment ago"],
    [4999, "a moment ago"],
    [12_900, "12 s ago"],
    [61_000, "1 min ago"],
    [7_300_000, "2 h ago"],
  ]);
  table("size", [
    [0, "0 B"],
    [1023, "1,023 B"],
    [1024, "1.0 KiB"],
    [9.94 * 1024, "9.9 KiB"],
    [9.96 * 1024, "10 KiB"],
    [1023.6 * 1024, "1.0 MiB"],
    [7_123_456_789, "6.6 GiB"],
    [1e19, "8,882 PiB"],
    [undefined, "–"],
  ]);
  table("count", [
    [12_345, "12,345"],
    [null, "–"],
    ["7", "–"],
  ]);
  table("ticking", [
    [0, "0.0 s"],
    [8766, "8.8 s"],
    [61_000, "1 min 01 s"],
  ]);

  test("numbers follow the reader's language", () => {
    assert.equal(format.duration(1234, "de"), "1,23 s");
    assert.equal(format.count(12_345, "de"), "12.345");
  });

  test("what would be invisible or reorder its surroundings is spelled out", () => {
    const cases = [
      ["plain <b>text</b> ü 漢字 شعار", "plain <b>text</b> ü 漢字 شعار"],
      ["a\nb\tc\rd", "a\\nb\\tc\\rd"],
      ["\u0000\u001b[31m\u007f\u0085", "\\x00\\x1b[31m\\x7f\\x85"],
      ["abc\u202egpj.exe", "abc\\u{202e}gpj.exe"],
      ["\u200e\u2066\ufeff\u2028", "\\u{200e}\\u{2066}\\u{feff}\\u{2028}"],
      ["half a \ud83d pair", "half a \\u{d83d} pair"],
      ["👩\u200d🚀", "👩\u200d🚀"],
      ["", ""],
    ];
    for (const [text, expected] of cases) assert.equal(format.visible(text), expected);
    assert.deepEqual(format.visible_parts("a\nb"), [
      { text: "a", code: null },
      { text: "\\n", code: "U+000A" },
      { text: "b", code: null },
    ]);
  });

  test("a budget is seconds, with a comma or a point, within its limits", () => {
    const parse = (text) => format.parse_budget(text, 100, 600_000, "en");
    for (const [text, ms] of [
      ["10", 10_000],
      [" 2.5 ", 2500],
      ["0,1", 100],
      [".5", 500],
      ["3.", 3000],
      ["600", 600_000],
    ]) {
      assert.deepEqual(parse(text), { ms });
    }
    for (const text of ["", "  ", "ten", "1e3", "-1", "1.2.3", "0x10", ".", "NaN", "Infinity"]) {
      assert.match(parse(text).problem, /for example/, text);
    }
    assert.match(parse("0").problem, /0\.1 seconds at least/);
    assert.match(parse("601").problem, /600 seconds at most/);
  });
});
