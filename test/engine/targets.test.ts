/** Several targets as one, over channels to stand-ins. */
import { expect, test } from "bun:test";
import type { Epoch } from "../../src/base/epoch.ts";
import { DaosError } from "../../src/base/errors.ts";
import { MIB } from "../../src/base/limits.ts";
import type { TargetCalls, TargetQuota } from "../../src/engine/target-calls.ts";
import { Targets } from "../../src/engine/targets.ts";
import { serveThreadCalls, ThreadCaller } from "../../src/engine/thread-call.ts";
import { codeOf } from "./engine-rig.ts";
import { threadPair } from "./thread-pair.ts";

/** A target that remembers what it was told. */
class StandIn {
  readonly snapshots = new Set<Epoch>();
  readonly quotas: TargetQuota[] = [];
  /** So many snapshots are answered with this before one is taken. */
  refusals: DaosError[] = [];
  stopError: DaosError | undefined;
  isStopped = false;
  readonly index: number;

  constructor(index: number) {
    this.index = index;
  }

  caller(): ThreadCaller<TargetCalls> {
    const { thread, parent } = threadPair();
    const calls: Partial<TargetCalls> = {
      space: () => ({
        scmTotalBytes: 100,
        scmUsedBytes: this.index,
        logTotalBytes: 20,
        logUsedBytes: this.index,
        nvmeTotalBytes: 1000,
        nvmeUsedBytes: 10 * this.index,
      }),
      usage: (containers) =>
        containers.map((container) => ({ scmBytes: container, nvmeBytes: 2 * container, versions: 1 })),
      countHandles: () => this.index,
      createSnapshot: async ({ at }) => {
        const refusal = this.refusals.shift();
        if (refusal !== undefined) throw refusal;
        const epoch = at ?? (77 as Epoch);
        this.snapshots.add(epoch);
        return epoch;
      },
      listSnapshots: () => [...this.snapshots],
      destroySnapshot: async ({ epoch }) => {
        if (!this.snapshots.delete(epoch)) throw new DaosError("NOT_FOUND", "Cannot destroy snapshot: not there.");
      },
      setQuota: async (quota) => void this.quotas.push(quota),
      stop: async () => {
        if (this.stopError !== undefined) throw this.stopError;
        this.isStopped = true;
      },
    };
    serveThreadCalls(parent, calls as TargetCalls);
    return new ThreadCaller<TargetCalls>(thread, () => {});
  }
}

function rig(count: number): { targets: Targets; standIns: StandIn[] } {
  const standIns = Array.from({ length: count }, (_value, index) => new StandIn(index + 1));
  const clock = { wallMs: () => Date.UTC(2026, 0, 1), monotonicNs: () => 0 };
  return {
    targets: new Targets(
      standIns.map((standIn) => standIn.caller()),
      clock,
    ),
    standIns,
  };
}

test("space, usage and handles are summed over the targets", async () => {
  const { targets } = rig(3);
  expect(await targets.space()).toEqual({
    scmTotalBytes: 300,
    scmUsedBytes: 6,
    logTotalBytes: 60,
    logUsedBytes: 6,
    nvmeTotalBytes: 3000,
    nvmeUsedBytes: 60,
  });
  expect([...(await targets.usage([5, 9]))]).toEqual([
    [5, { scmBytes: 15, nvmeBytes: 30 }],
    [9, { scmBytes: 27, nvmeBytes: 54 }],
  ]);
  expect(await targets.countHandles(1)).toBe(6);
});

test("one target chooses a snapshot's epoch itself; several take the same one", async () => {
  expect(await rig(1).targets.createSnapshot(1)).toBe(77 as Epoch);
  const { targets, standIns } = rig(3);
  const epoch = await targets.createSnapshot(1);
  for (const { snapshots } of standIns) expect([...snapshots]).toEqual([epoch]);
  expect(await targets.listSnapshots(1)).toEqual([epoch]);
});

test("a target that has written beyond the epoch: another one is tried, and nothing of the first stays", async () => {
  const { targets, standIns } = rig(3);
  standIns[1]!.refusals = [
    new DaosError("CONFLICT", "Cannot snapshot: written."),
    new DaosError("CONFLICT", "Cannot."),
  ];
  const epoch = await targets.createSnapshot(1);
  for (const { snapshots } of standIns) expect([...snapshots]).toEqual([epoch]);
});

test("a snapshot that fails on one target for good is on none, and does not try for ever", async () => {
  const full = rig(2);
  full.standIns[1]!.refusals = [new DaosError("NO_SPACE", "Cannot snapshot: full.")];
  expect(await codeOf(full.targets.createSnapshot(1))).toBe("NO_SPACE");
  expect(full.standIns[0]!.snapshots.size).toBe(0);
  const busy = rig(2);
  busy.standIns[1]!.refusals = Array.from(
    { length: 100 },
    () => new DaosError("CONFLICT", "Cannot snapshot: written."),
  );
  expect(await codeOf(busy.targets.createSnapshot(1))).toBe("CONFLICT");
  expect(busy.standIns[0]!.snapshots.size).toBe(0);
});

test("destroying a snapshot that only some targets have succeeds: a crash may have left it so", async () => {
  const { targets, standIns } = rig(2);
  standIns[0]!.snapshots.add(5 as Epoch);
  await targets.destroySnapshot(1, 5 as Epoch);
  expect(standIns[0]!.snapshots.size).toBe(0);
});

test("each target is told its share of a quota", async () => {
  const { targets, standIns } = rig(3);
  const rebuild = { share: 30, isPaused: true };
  await targets.setQuota({ pool: "tank", targetBytes: 33, containers: [4], thresholdBytes: 1024, rebuild });
  const scrub = { mode: "timed", periodSeconds: 604_800, bytesPerSecond: 16 * MIB } as const;
  const quota = { pool: "tank", sizeBytes: 33, containers: [4], thresholdBytes: 1024, rebuild, scrub };
  for (const { quotas } of standIns) expect(quotas).toEqual([quota]);
});

test("stopping stops every target, also behind one that fails, and tells of the failure", async () => {
  const { targets, standIns } = rig(3);
  standIns[0]!.stopError = new DaosError("IO", "Cannot close: broken.");
  expect(await codeOf(targets.stop())).toBe("IO");
  expect(standIns.map(({ isStopped }) => isStopped)).toEqual([false, true, true]);
});
