/**
 * docs/cli.md cannot lie: every command is in it, and every `$ daos ...` line of its console blocks runs here, in
 * order, and prints what stands below it.
 */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { CommandGroup } from "../../src/cli/command.ts";
import { ROOT } from "../../src/cli/root-commands.ts";
import { documentedHarness, runBlock } from "./documentation.ts";

const TEXT = readFileSync(join(import.meta.dir, "..", "..", "docs", "cli.md"), "utf8");
const BLOCKS = [...TEXT.matchAll(/```console\n([\s\S]*?)```/g)].map((match) => match[1]!);

function commandLines(group: CommandGroup, line: string): string[] {
  return Object.entries(group.members).flatMap(([name, member]) =>
    member.kind === "group" ? commandLines(member, `${line} ${name}`) : [`${line} ${name}`],
  );
}

test("every command is documented", () => {
  for (const line of commandLines(ROOT, "daos")) expect(TEXT).toContain(`\`${line}`);
});

test("every console block prints what it shows", async () => {
  const harness = documentedHarness();
  expect(BLOCKS.length).toBeGreaterThan(20);
  for (const block of BLOCKS) expect(await runBlock(harness, block)).toBe(block);
});
