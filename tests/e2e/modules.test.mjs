// The page's pure modules: numbers and foreign text for people, lines from a stream, what the timeline shows.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

const web = new URL("../../apps/dashboard/web/", import.meta.url);
const format = await import(new URL("format.js", web));
const { GarbageError, read_ndjson } = await import(new URL("ndjson.js", web));
const { most_rows, timeline_model } = await import(new URL("timeline_model.js", web));

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

  test("a request has a short name, and a place one without its directory", () => {
    assert.equal(format.request_name({ service: "disk", id: "08c23ff7169b11f7" }), "disk 08c2");
    assert.equal(format.place({ file: "/src/apps/disk.cpp", line: 122 }), "disk.cpp:122");
  });

  test("a function has its name without parameters, templates and result", () => {
    const cases = [
      ["hash_file", "hash_file"],
      ["app::(anonymous namespace)::hash_file(std::function<void (unsigned long)> const&) const", "app::hash_file"],
      ["std::expected<int, std::basic_string<char> > std::__invoke<f(int)::<lambda()>&>(f(int)::<lambda()>&)", "std::__invoke"],
      ["std::function<void ()>::operator()() const", "std::function::operator()"],
      ["operator new(unsigned long)", "operator new"],
      ["<>(", "("],
      ["", ""],
    ];
    for (const [signature, name] of cases) assert.equal(format.function_name(signature), name);
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

describe("timeline_model", () => {
  // The machine's clock is 1,000 s ahead of the page's; an event takes `way` ms.
  const ns = (ms) => (ms + 1_000_000) * 1e6;
  const running = (id, start) => ({ id, started_ns: ns(start), ended_ns: null, state: "running", cpu_ms: 1, cpu_ms_unwanted: 0 });
  const unwanted = (id, start, end) => ({ ...running(id, start), ended_ns: ns(end), state: "ended by client" });
  const over = (id, start, end, home, state = "ended by client") => ({ ...unwanted(id, start, end), home_ns: ns(home), state });
  const event = (at, disk, { way = 5, ignoring = false, error } = {}) => [
    {
      front: { now_ns: ns(at - way) },
      services: [{ service: "vitals" }, { service: "disk", ...disk, error }],
      ignoring,
    },
    at,
  ];
  const disk_of = (view) => view.lanes.find((lane) => lane.service === "disk");
  const at = (ms) => Math.round(ms);

  test("a bar is as long as the request, and red from the end of its context on", () => {
    const model = new timeline_model();
    model.take(...event(1000, { requests: [running("disk-1", 500)] }));
    let [bar] = disk_of(model.view(1000)).bars;
    assert.deepEqual([at(bar.start), bar.end, bar.home, bar.row], [505, null, null, 0]);
    model.take(...event(2000, { requests: [unwanted("disk-1", 500, 1500)] }));
    [bar] = disk_of(model.view(2000)).bars;
    assert.deepEqual([at(bar.end), bar.home, model.busy], [1505, null, true]);
    model.take(...event(3000, { recent: [over("disk-1", 500, 1500, 2500)] }));
    [bar] = disk_of(model.view(3000)).bars;
    assert.deepEqual([at(bar.end), at(bar.home), model.busy], [1505, 2505, false]);
  });

  test("an event that comes late moves nothing", () => {
    const model = new timeline_model();
    model.take(...event(1000, { requests: [running("disk-1", 500)] }, { way: 5 }));
    model.take(...event(3000, { requests: [running("disk-1", 500)] }, { way: 1500 }));
    assert.equal(at(disk_of(model.view(3000)).bars[0].start), 505);
    model.take(...event(4000, { requests: [running("disk-1", 500)] }, { way: 1 }));
    assert.equal(at(disk_of(model.view(4000)).bars[0].start), 501);
  });

  test("bars that overlap are in rows of their own, and keep them", () => {
    const model = new timeline_model();
    const rows = (now, least_ms) => Object.fromEntries(disk_of(model.view(now, least_ms)).bars.map((b) => [b.id, b.row]));
    model.take(...event(3000, { requests: [unwanted("a", 1000, 2000), running("b", 2000)] }));
    assert.deepEqual(rows(3000), { a: 0, b: 1 });
    model.take(...event(5000, { requests: [running("b", 2000), running("c", 4500)], recent: [over("a", 1000, 2000, 4000)] }));
    assert.deepEqual(rows(5000), { a: 0, b: 1, c: 0 });
    assert.equal(disk_of(model.view(5000)).rows, 2);
  });

  test("a bar that ends at the click leaves its row to the next", () => {
    const model = new timeline_model();
    model.take(...event(2000, { requests: [running("a", 1000)] }));
    model.view(2000);
    model.take(...event(2010, { requests: [running("a", 1000), running("b", 2000)] }));
    assert.equal(disk_of(model.view(2010)).bars.length, 1, "the new one waits for its row");
    model.take(...event(2100, { requests: [running("b", 2000)], recent: [over("a", 1000, 1998, 2040)] }));
    assert.deepEqual(disk_of(model.view(2300)).bars.map((bar) => bar.row), [0, 0]);
  });

  test("the work of a service that is listed no more is over", () => {
    const model = new timeline_model();
    model.take(...event(1000, { requests: [running("a", 500)] }));
    assert.equal(model.busy, true);
    model.take({ ...event(2000, {})[0], services: [{ service: "vitals" }] }, 2000);
    assert.equal(model.busy, false);
  });

  test("a short bar takes the room of a finger", () => {
    const model = new timeline_model();
    model.take(...event(4000, { recent: [over("a", 1000, 1010, 1010), over("b", 2000, 2010, 2010), over("c", 3500, 3510, 3510)] }));
    assert.deepEqual(disk_of(model.view(4000, 2000)).bars.map((bar) => bar.row), [0, 1, 0]);
  });

  test("what has no room in its row any more, since the picture has grown, gets another", () => {
    const model = new timeline_model();
    model.take(...event(4000, { recent: [over("a", 1000, 1010, 1010), over("b", 2000, 2010, 2010)] }));
    const rows = (least_ms) => disk_of(model.view(4000, least_ms)).bars.map((bar) => bar.row);
    assert.deepEqual(rows(900), [0, 0]);
    assert.deepEqual(rows(2000), [0, 1]);
    assert.deepEqual(rows(2000), [0, 1]);
  });

  test("at the right edge too, so that it does not lie upon the one before", () => {
    const model = new timeline_model();
    model.take(...event(2000, { recent: [over("a", 1000, 1500, 1500)] }));
    for (const now of [19_000, 30_000, 90_000]) {
      model.take(...event(now, { requests: [running("a", 1000), running(`b${now}`, now - 100)] }));
      const { from, to } = model.view(now, 3000);
      assert.ok(to >= now - 100 + 3000, `${from} to ${to} at ${now}`);
      assert.ok(to - from <= 60_000);
    }
  });

  test("beyond the rows they are counted", () => {
    const model = new timeline_model();
    const requests = Array.from({ length: most_rows + 3 }, (_, i) => running(`disk-${i}`, 1000 + i));
    model.take(...event(2000, { requests }));
    const lane = disk_of(model.view(2000));
    assert.deepEqual([lane.bars.length, lane.left_out, lane.rows], [most_rows, 3, most_rows]);
  });

  test("time stands still while nothing works, and the next click begins a new picture", () => {
    const model = new timeline_model();
    model.mark("refresh", 1000);
    model.take(...event(2500, { recent: [over("a", 1000, 2000, 2000, "answered")] }));
    const rest = model.view(10_000);
    assert.deepEqual(model.view(50_000), rest);
    assert.equal(at(rest.to - rest.from), 20_000);
    model.mark("refresh", 50_000);
    const fresh = model.view(50_100);
    assert.equal(fresh.marks.length, 1);
    assert.equal(disk_of(fresh).bars.length, 0);
    assert.ok(fresh.from <= 50_000 && fresh.from > 48_000);
  });

  test("the picture grows to a minute, and moves on then", () => {
    const model = new timeline_model();
    model.mark("refresh", 1000);
    const edges = (now) => {
      model.take(...event(now, { requests: [running("a", 1000)] }));
      const { from, to } = model.view(now);
      return [at(from), at(to)];
    };
    assert.deepEqual(edges(5000), [0, 20_000]);
    assert.deepEqual(edges(30_000), [0, 30_000]);
    assert.deepEqual(edges(100_000), [40_000, 100_000]);
  });

  test("bands are the times in which the contexts were ignored", () => {
    const model = new timeline_model();
    model.mark("refresh", 500);
    model.take(...event(1000, { requests: [running("a", 500)] }));
    model.take(...event(2000, { requests: [running("a", 500)] }, { ignoring: true }));
    assert.deepEqual(model.view(3000).bands, [{ kind: "ignored", from: 2000, to: 3000 }]);
    model.take(...event(4000, { requests: [running("a", 500)] }));
    assert.deepEqual(model.view(5000).bands, [{ kind: "ignored", from: 2000, to: 4000 }]);
  });

  test("a request that is listed no more is over, and so are those of a service that stopped", () => {
    const model = new timeline_model();
    model.take(...event(1000, { requests: [running("a", 500), running("b", 500)] }));
    model.take(...event(2000, { requests: [running("b", 500)] }));
    assert.deepEqual(disk_of(model.view(2000)).bars.map((bar) => [bar.id, bar.home, bar.state]), [["a", 2000, "over"], ["b", null, "running"]]);
    model.take(...event(3000, {}, { error: "The disk service stopped." }));
    assert.equal(model.busy, false);
  });

  test("a bar knows its click", () => {
    const model = new timeline_model();
    model.mark("refresh", 1000);
    model.mark("refresh", 3000);
    model.take(...event(4000, { requests: [running("b", 3001)], recent: [over("a", 1001, 2999, 3010)] }));
    const { bars } = disk_of(model.view(4000));
    assert.deepEqual(bars.map((bar) => model.click_of(bar)), [1, 2]);
  });

  test("old and many bars are forgotten", () => {
    const model = new timeline_model();
    const recent = Array.from({ length: 1000 }, (_, i) => over(`disk-${i}`, 1000 + i, 1001 + i, 1002 + i));
    model.take(...event(3000, { recent }));
    assert.ok(model.bars.size <= 300);
    model.take(...event(200_000, {}));
    assert.equal(model.bars.size, 0);
  });

  test("what makes no sense is passed over", () => {
    const model = new timeline_model();
    model.take({ services: [{ service: "<b>" }, { service: "disk", requests: [{ id: 1 }, {}] }] }, 1000);
    assert.deepEqual(model.view(1000).lanes.map((lane) => lane.bars.length), [0, 0]);
  });
});
