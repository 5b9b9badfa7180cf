/**
 * kill -9 of the control plane before and after every single step of every operation: after a restart and `resume`,
 * the operation has happened wholly or not at all, and records and targets agree.
 */
import { expect, test } from "bun:test";
import { MIB } from "../../src/base/limits.ts";
import { CrashPoint, Crashed } from "./crash-point.ts";
import { type Durable, emptyDurable, expectConsistent, type Harness, start } from "./harness.ts";

interface Scenario {
  readonly name: string;
  readonly prepare: (harness: Harness) => Promise<unknown>;
  readonly run: (harness: Harness) => Promise<unknown>;
  /** What people see of the outcome. */
  readonly observe: (harness: Harness) => Promise<string>;
  /** Outcomes before and after; nothing else may be seen. */
  readonly before: string;
  readonly after: string;
  /** Once the intent is durable, the operation is finished by `resume`, though nobody was told. */
  readonly finishes: boolean;
}

const sizeBytes = 64 * MIB;
const tank = { pool: "tank" };
const box = { pool: "tank", container: "box" };

async function tankWithBox({ plane }: Harness): Promise<void> {
  await plane.pools.create({ label: "tank", sizeBytes });
  await plane.containers.create({ pool: "tank", label: "box", type: "kv" });
  await plane.snapshots.create({ ...box, name: "first" });
}

async function labels({ plane }: Harness): Promise<string> {
  const { pools } = await plane.pools.list({});
  const seen: string[] = [];
  for (const pool of pools) {
    const { containers } = await plane.containers.list({ pool: pool.label });
    seen.push(`${pool.label}:${pool.sizeBytes / MIB}[${containers.map((container) => container.label).join()}]`);
  }
  return seen.join(" ");
}

async function snapshotNames({ plane }: Harness): Promise<string> {
  return (await plane.snapshots.list(box)).snapshots.map(({ name }) => name).join();
}

const SCENARIOS: readonly Scenario[] = [
  {
    name: "pool create",
    prepare: async () => undefined,
    run: ({ plane }) => plane.pools.create({ label: "tank", sizeBytes }),
    observe: labels,
    before: "",
    after: "tank:64[]",
    finishes: true,
  },
  {
    name: "pool set-prop label and size",
    prepare: tankWithBox,
    run: ({ plane }) => plane.pools.setProperties({ ...tank, properties: { label: "tonk", size: "128MiB" } }),
    observe: labels,
    before: "tank:64[box]",
    after: "tonk:128[box]",
    finishes: true,
  },
  {
    name: "pool destroy --force",
    prepare: tankWithBox,
    run: ({ plane }) => plane.pools.destroy({ ...tank, force: true }),
    observe: labels,
    before: "tank:64[box]",
    after: "",
    finishes: true,
  },
  {
    name: "container create",
    prepare: tankWithBox,
    run: ({ plane }) => plane.containers.create({ pool: "tank", label: "second", type: "object" }),
    observe: labels,
    before: "tank:64[box]",
    after: "tank:64[box,second]",
    finishes: false,
  },
  {
    name: "container set-prop label",
    prepare: tankWithBox,
    run: ({ plane }) => plane.containers.setProperties({ ...box, properties: { label: "crate" } }),
    observe: labels,
    before: "tank:64[box]",
    after: "tank:64[crate]",
    finishes: true,
  },
  {
    name: "container destroy --force",
    prepare: tankWithBox,
    run: ({ plane }) => plane.containers.destroy({ ...box, force: true }),
    observe: labels,
    before: "tank:64[box]",
    after: "tank:64[]",
    finishes: true,
  },
  {
    name: "snapshot create",
    prepare: tankWithBox,
    run: ({ plane }) => plane.snapshots.create({ ...box, name: "second" }),
    observe: snapshotNames,
    before: "first",
    after: "first,second",
    finishes: false,
  },
  {
    name: "unnamed snapshot create",
    prepare: tankWithBox,
    run: ({ plane }) => plane.snapshots.create({ ...box, name: "" }),
    observe: snapshotNames,
    before: "first",
    after: "first,1002",
    finishes: false,
  },
  {
    name: "snapshot destroy",
    prepare: tankWithBox,
    run: ({ plane }) => plane.snapshots.destroy({ ...box, name: "first" }),
    observe: snapshotNames,
    before: "first",
    after: "",
    finishes: true,
  },
];

/** Restarts on the durable state; the restart itself crashes at `crash`. */
async function restart(durable: Durable, crash: CrashPoint): Promise<Harness> {
  const harness = await start(durable, crash);
  await harness.plane.resume();
  return harness;
}

async function crashes(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return false;
  } catch (error) {
    if (error instanceof Crashed) return true;
    throw error;
  }
}

/** Runs the scenario with a crash there; false when it ended before that step. */
async function crashAt(scenario: Scenario, at: number, after: boolean): Promise<boolean> {
  const durable = emptyDurable();
  const first = await start(durable);
  await scenario.prepare(first);
  const opened = new Map(first.targets.open);
  const crash = new CrashPoint(at, after);
  const second = await start(durable, crash);
  for (const [number, pool] of opened) second.targets.open.set(number, pool);
  const commitsBefore = durable.meta.commits;
  const crashed = await crashes(() => scenario.run(second));
  const intended = durable.meta.commits > commitsBefore;

  // Each restart is itself cut off at every step before one is let through.
  for (let step = 1; ; step += 1) {
    const cut = await crashes(() => restart(durable, new CrashPoint(step, after)));
    if (!cut) break;
  }
  const last = await start(durable);
  const report = await last.plane.resume();
  expect(report.failures).toEqual([]);
  expectConsistent(durable, last.targets);
  const seen = await scenario.observe(last);
  expect([scenario.before, scenario.after]).toContain(seen);
  if (!crashed) expect(seen).toBe(scenario.after);
  if (crashed && scenario.finishes && intended) expect(seen).toBe(scenario.after);

  // The way is free: what was undone can be done again.
  if (seen === scenario.before) {
    await scenario.run(last);
    expectConsistent(durable, last.targets);
  }
  return crashed;
}

for (const scenario of SCENARIOS) {
  for (const after of [false, true]) {
    test(`${scenario.name} is whole after a crash ${after ? "after" : "before"} each step`, async () => {
      let at = 1;
      while (await crashAt(scenario, at, after)) at += 1;
      expect(at).toBeGreaterThan(1);
    });
  }
}
