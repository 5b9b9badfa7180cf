/** Text for people: alignment, durations, percentages, and names that cannot drive a terminal. */
import { expect, test } from "bun:test";
import { formatDuration, formatPercent, formatRecord, formatTable, pad, printable } from "../../src/cli/table.ts";

test("formatTable aligns by characters and leaves no blanks at the end", () => {
  const columns = [{ title: "Name" }, { title: "Size", align: "right" }, { title: "Note" }] as const;
  const rows = [
    ["größe", "1", ""],
    ["😀", "1000", "x"],
  ];
  expect(formatTable(columns, rows)).toBe("Name   Size  Note\ngröße     1\n😀      1000  x\n");
});

test("formatRecord pads the names", () => {
  expect(
    formatRecord([
      ["A", "1"],
      ["Long", ""],
    ]),
  ).toBe("A     1\nLong\n");
});

test("pad never cuts", () => {
  expect([pad("ab", 4, "left"), pad("ab", 4, "right"), pad("abc", 2, "left")]).toEqual(["ab  ", "  ab", "abc"]);
});

test.each([
  [0, "0 s"],
  [400, "0.4 s"],
  [9_960, "10 s"],
  [59_999, "59 s"],
  [60_000, "1 min"],
  [61_000, "1 min 1 s"],
  [3_600_000, "1 h"],
  [93_784_000, "1 d 2 h"],
])("formatDuration(%d) is %s", (durationMs, expected) => {
  expect(formatDuration(durationMs)).toBe(expected);
});

test.each([
  [0, 0, "0 %"],
  [0, 10, "0 %"],
  [1, 3, "33 %"],
  [1, 1000, "0.1 %"],
  [1, 100_000, "0 %"],
  [10, 10, "100 %"],
])("formatPercent(%d, %d) is %s", (part, whole, expected) => {
  expect(formatPercent(part, whole)).toBe(expected);
});

test("printable escapes what a terminal would act on and keeps the rest", () => {
  expect(printable("plain größe 😀 \\n")).toBe("plain größe 😀 \\n");
  expect(printable("\u001b[2J\n\u0000\u009b\u202e\ud800")).toBe("\\x1b[2J\\x0a\\x00\\x9b\\u{202e}\\u{d800}");
});
