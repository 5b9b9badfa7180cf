/**
 * docs/events.md, made from src/base/events.ts: each event with how bad it is, what it means and what to do. Pure.
 * `npm run document` writes the page (scripts/document.ts), test/tidy.test.ts refuses one that is out of date.
 */
import type { Severity } from "../src/base/events.ts";

interface EventRow {
  readonly severity: Severity;
  readonly meaning: string;
  readonly advice: string;
}

export function eventsPage(events: Readonly<Record<string, EventRow>>): string {
  const rows = Object.entries(events).map(([id, { severity, meaning, advice }]) => {
    return `| \`${id}\` | ${severity} | ${cell(meaning)} | ${cell(advice)} |`;
  });
  return `# Events

What may happen to a system that its administrator should know. \`daos system events\` shows what has happened
([admin.md](admin.md#events)). Made from \`src/base/events.ts\` by \`npm run document\`; change it there.

- **error**: somebody has to act, or data is at risk.
- **warn**: it heals by itself, or may get worse.
- **info**: what was done, and what has healed.

| id | severity | what it means | what to do |
|---|---|---|---|
${rows.join("\n")}
`;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}
