/** `daos pool scrub`: what it sends, what it shows, and what it refuses. */
import { expect, test } from "bun:test";
import { documentedHarness } from "./documentation.ts";

test("pool scrub start, stop and status show what each target does, and who does not answer", async () => {
  const harness = documentedHarness();
  await harness.run("pool create tank --size 4GiB");
  for (const [action, state] of [
    ["start", "running"],
    ["stop", "stopped"],
    ["status", "idle"],
  ] as const) {
    const { stdout, status } = await harness.run(`pool scrub ${action} tank --json`);
    expect(status).toBe(0);
    const { targets, last } = JSON.parse(stdout) as { targets: { state: string }[]; last: { lost: number } };
    expect(targets.map((target) => target.state)).toEqual([state, state, "away"]);
    expect(last.lost).toBe(2);
  }
});

test("pool scrub start refuses a pace that is none", async () => {
  const harness = documentedHarness();
  await harness.run("pool create tank --size 4GiB");
  for (const [rate, said] of [
    ["fast", "size"],
    ["1KiB", "--rate"],
    ["1TiB", "at most 16 GiB"],
  ] as const) {
    const { status, stderr } = await harness.run(`pool scrub start tank --rate ${rate}`);
    expect(status).toBe(2);
    expect(stderr).toContain(said);
  }
});
