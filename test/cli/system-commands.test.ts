/** `daos system leader`, `exclude`, `drain`, `reintegrate` and `self-heal` against a fake system. */
import { expect, test } from "bun:test";
import { Harness } from "./harness.ts";

test("system exclude, drain and reintegrate name the ranks, and a pool that refuses makes status 1", async () => {
  const harness = new Harness();
  await harness.run("system exclude --ranks 2,3 --force");
  await harness.run("system drain --ranks 3");
  expect((await harness.run("system reintegrate --ranks 1")).status).toBe(0);
  expect(harness.system.rankChanges).toEqual(["exclude 2,3 force", "drain 3", "reintegrate 1"]);
  harness.system.outcomes = [
    { pool: "a", outcome: "changed", mapVersion: 2 },
    { pool: "b", outcome: "failed", code: "BUSY", message: "Cannot exclude targets: its data \u001b would be gone." },
  ];
  const { status, stdout } = await harness.run("system exclude --ranks 2");
  expect(status).toBe(1);
  expect(stdout).toContain("its data \\x1b would be gone");
  expect((await harness.json("system exclude --ranks 2")).value.pools[1].error.code).toBe("BUSY");
  harness.system.outcomes = [];
  expect(await harness.run("system exclude --ranks 2")).toMatchObject({
    status: 0,
    stdout: "No pool has targets of these ranks.\n",
  });
});

test("system exclude, drain and reintegrate without ranks, or with wrong ones, are wrong calls", async () => {
  const harness = new Harness();
  for (const wrong of ["system exclude", "system drain --ranks x", "system reintegrate --ranks 99999"]) {
    expect((await harness.run(wrong)).status).toBe(2);
  }
  expect(harness.system.rankChanges).toEqual([]);
});

test("system leader where only the first engine may lead", async () => {
  const harness = new Harness();
  harness.system.leaderReply = { rank: 0, address: "127.0.0.1:10001", leadsMs: 5_000 };
  expect((await harness.run("system leader")).stdout).toContain("Term       only this engine may lead\n");
  expect((await harness.json("system leader")).value).toMatchObject({ rank: 0, term: null });
});

test("system self-heal set checks the flags before anything is asked", async () => {
  const harness = new Harness();
  const { status, stderr } = await harness.run("system self-heal set exclude,pool_excldue");
  expect(status).toBe(2);
  expect(stderr).toContain('Did you mean "pool_exclude"?');
  expect(harness.connects).toEqual([]);
  await harness.run("system self-heal set none");
  expect(harness.system.selfHealFlags).toEqual([]);
  expect((await harness.run("system self-heal eval")).stdout).toContain("Excluded ranks: 2\n");
});
