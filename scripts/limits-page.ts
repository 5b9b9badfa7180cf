/**
 * docs/limits.md, made from src/base/limits.ts: each exported number with its comment and its value. Pure.
 * `npm run document` writes the page (scripts/document.ts), test/tidy.test.ts refuses one that is out of date.
 */

const BYTE_UNITS: readonly (readonly [string, number])[] = [
  ["TiB", 2 ** 40],
  ["GiB", 2 ** 30],
  ["MiB", 2 ** 20],
  ["KiB", 2 ** 10],
];
/** Constants that are units, not limits. */
const UNITS = new Set(["KIB", "MIB", "GIB", "TIB"]);

/** The page. `source` is the text of limits.ts, `values` its exports. */
export function limitsPage(source: string, values: Readonly<Record<string, unknown>>): string {
  const rows = [...source.matchAll(/(?:\/\*\*((?:[^*]|\*(?!\/))*)\*\/\n)?export const ([A-Z0-9_]+) =/g)].flatMap(
    (match) => {
      const name = match[2] ?? "";
      const value = values[name];
      if (UNITS.has(name) || typeof value !== "number") return [];
      // A number without a comment shares that of the one above it.
      const comment = (match[1] ?? "see the line above")
        .replace(/\n\s*\* ?/g, " ")
        .trim()
        .replaceAll("|", "\\|");
      return [`| \`${name}\` | ${formatLimit(name, value)} | ${comment} |`];
    },
  );
  return `# Limits

Every limit that a user or a peer can meet. Made from \`src/base/limits.ts\` by \`npm run document\`; change it there.
Whoever meets one gets an error that names it ([errors.md](errors.md)), mostly \`TOO_LARGE\`, \`OVERLOADED\` or \`INVALID_ARGUMENT\`.

| name | value | what it bounds |
|---|---|---|
${rows.join("\n")}
`;
}

function formatLimit(name: string, value: number): string {
  if (value === Number.MAX_SAFE_INTEGER) return "2^53 - 1";
  if (name.endsWith("_MS")) return value % 1000 === 0 ? `${value / 1000} s` : `${value} ms`;
  if (!name.endsWith("_BYTES")) return String(value);
  for (const [unit, size] of BYTE_UNITS)
    if (value % size === 0 && value < 1024 * size) return `${value / size} ${unit}`;
  return `${value} B`;
}
