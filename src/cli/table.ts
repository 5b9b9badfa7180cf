/**
 * Text for people: aligned tables, records, sizes, durations, and names made safe for a terminal. One place, so that
 * every command looks alike. Programs read --json instead; nothing here is a stable format.
 */

export interface Column {
  readonly title: string;
  /** Numbers and sizes go to the right. Default left. */
  readonly align?: "left" | "right";
}

/** A table with a heading line, columns two spaces apart, no trailing blanks; each line ends with a newline. */
export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map((column, index) =>
    rows.reduce((widest, row) => Math.max(widest, textWidth(row[index] ?? "")), textWidth(column.title)),
  );
  const line = (cells: readonly string[]): string =>
    columns
      .map((column, index) => pad(cells[index] ?? "", widths[index]!, column.align ?? "left"))
      .join("  ")
      .trimEnd();
  return [columns.map((column) => column.title), ...rows].map((cells) => `${line(cells)}\n`).join("");
}

/** One fact a line: names padded to the widest. */
export function formatRecord(facts: readonly (readonly [name: string, value: string])[]): string {
  const width = facts.reduce((widest, [name]) => Math.max(widest, textWidth(name)), 0);
  return facts.map(([name, value]) => `${pad(name, width, "left")}  ${value}`.trimEnd() + "\n").join("");
}

/** Pads to `width` characters. */
export function pad(text: string, width: number, align: "left" | "right"): string {
  const blanks = " ".repeat(Math.max(0, width - textWidth(text)));
  return align === "left" ? text + blanks : blanks + text;
}

/** Characters, not UTF-16 units; combining and double-width ones are counted as one. */
function textWidth(text: string): number {
  let width = 0;
  for (const _ of text) width += 1;
  return width;
}

/** A string with every control character and lone surrogate escaped, so that no name can drive the terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, (character) => {
    const code = character.codePointAt(0)!;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
}

/** The two largest units of a duration: `3 d 4 h`, `12 s`, `0.4 s`. */
export function formatDuration(durationMs: number): string {
  const seconds = durationMs / 1000;
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  const units = [
    ["d", 86_400],
    ["h", 3_600],
    ["min", 60],
    ["s", 1],
  ] as const;
  const first = units.findIndex(([, unitSeconds]) => seconds >= unitSeconds);
  const parts: string[] = [];
  let rest = Math.floor(seconds);
  for (const [name, unitSeconds] of units.slice(first, first + 2)) {
    const count = Math.floor(rest / unitSeconds);
    rest -= count * unitSeconds;
    if (count > 0) parts.push(`${count} ${name}`);
  }
  return parts.join(" ");
}

/** `42 %`; of nothing, `0 %`. */
export function formatPercent(part: number, whole: number): string {
  if (whole <= 0) return "0 %";
  const percent = (100 * part) / whole;
  return `${percent > 0 && percent < 10 ? Number(percent.toFixed(1)) : Math.round(percent)} %`;
}
