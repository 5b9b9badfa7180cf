/**
 * What a benchmark reports: figures by name, the median over rounds, and how they print as an aligned table. Pure.
 */

/** One measurement of one contender: figures by name, with the unit in the name (`opsPerSecond`, `serverCpuUsPerOp`). */
export type Figures = Readonly<Record<string, number>>;

export interface Row {
  readonly workload: string;
  readonly contender: string;
  readonly figures: Figures;
}

/** The middle value; of an even count the mean of the two in the middle. NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** The median of each figure over the rounds in which it was measured. */
export function medianFigures(rounds: readonly Figures[]): Figures {
  const names = new Set(rounds.flatMap((round) => Object.keys(round)));
  return Object.fromEntries(
    [...names].map((name) => [
      name,
      median(rounds.flatMap((round) => (name in round ? [round[name] ?? Number.NaN] : []))),
    ]),
  );
}

/** Markdown, columns aligned: it reads in a terminal and goes into docs/performance.md as it is. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((name, column) =>
    Math.max(name.length, 3, ...rows.map((row) => (row[column] ?? "").length)),
  );
  const isNumeric = header.map(
    (_, column) => column > 0 && rows.every((row) => /^[-+\d.,x %]*$/.test(row[column] ?? "")),
  );
  const line = (cells: readonly string[]) => {
    const padded = widths.map((width, column) => {
      const cell = cells[column] ?? "";
      return isNumeric[column] ? cell.padStart(width) : cell.padEnd(width);
    });
    return `| ${padded.join(" | ")} |`;
  };
  const rule = widths.map((width, column) => (isNumeric[column] ? `${"-".repeat(width - 1)}:` : "-".repeat(width)));
  return [line(header), line(rule), ...rows.map(line)].join("\n");
}

/** Three significant digits, no exponent; empty for a figure that was not measured. */
export function formatFigure(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return "";
  if (value === 0 || Math.abs(value) >= 100) return String(Math.round(value));
  return value.toFixed(Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value)))));
}
