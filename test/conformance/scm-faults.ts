/**
 * The fault half of the scm conformance suite: power that goes at random moments, media that fail, files that are cut,
 * full disks. A machine stands for the hardware; what is wrong in a run follows from its seed, which a failure prints.
 */
import { expect, test } from "bun:test";
import type { ScmProvider, ScmRegion } from "../../src/contracts/scm.ts";
import type { World } from "../../src/contracts/world.ts";
import { powerCycle, simulatedWorld } from "../simulation/world.ts";
import { expectCode, isZero } from "./support.ts";

const REGION_BYTES = 1024 * 1024;
const POWER_LOSS_SEEDS = 60;
const OPEN = { folder: "/target", sizeBytes: REGION_BYTES };

/** Hardware that fails. */
export interface ScmMachine {
  readonly world: World;
  readonly provider: ScmProvider;
  /** A whole number from 0 to `limit - 1`. */
  below(limit: number): number;
  /** Power goes and comes back: the medium has what was persisted, and of the rest whatever the seed makes of it. */
  losePower(): void;
  /** The medium fails the next persist. */
  failWrite(): void;
}

/** The simulated disk as the medium. */
export function diskMachine(makeProvider: () => ScmProvider, seed: number): ScmMachine {
  const world = simulatedWorld(seed);
  return {
    world,
    provider: makeProvider(),
    below: (limit) => world.random.below(limit),
    losePower: () => powerCycle(world),
    failWrite: () => world.disk.injectFault({ operation: "write", code: "IO" }),
  };
}

const create = (machine: ScmMachine): Promise<ScmRegion> =>
  machine.provider.open(machine.world, { ...OPEN, create: true });
const reopen = (machine: ScmMachine): Promise<ScmRegion> =>
  machine.provider.open(machine.world, { ...OPEN, create: false });

/**
 * Writes at random, loses power, and counts the spans whose last persisted bytes are gone. Spans written or being
 * persisted when power went are not counted. 0 for a right plugin.
 */
async function spansLost(machine: ScmMachine, skipPersists = false): Promise<number> {
  const region = await create(machine);
  const span = region.granularityBytes;
  const persisted = new Map<number, number>();
  const busy = new Set<number>();
  const rounds = 20 + machine.below(40);
  for (let round = 1; round <= rounds; round += 1) {
    const index = machine.below(16);
    if (busy.has(index)) continue;
    region.bytes.fill(round, index * span, (index + 1) * span);
    busy.add(index);
    // Some are left in the caches: they may be lost, and must harm nobody.
    if (machine.below(8) === 0) continue;
    const finished = (): void => {
      persisted.set(index, round);
      busy.delete(index);
    };
    const pending = skipPersists ? undefined : region.persist(index * span, span);
    if (pending === undefined) finished();
    else if (machine.below(10) < 7) await pending.then(finished);
    else void pending.then(finished);
  }
  machine.losePower();
  const again = await reopen(machine);
  let lost = 0;
  for (const [index, round] of persisted) {
    const bytes = again.bytes.subarray(index * span, (index + 1) * span);
    if (!busy.has(index) && !bytes.every((byte) => byte === round)) lost += 1;
  }
  again.close();
  return lost;
}

/** Appends numbered records, each in a span of its own, persisted one after the other; returns the numbers found after. */
async function recordsAfterPowerLoss(machine: ScmMachine): Promise<{ durable: number; found: number[] }> {
  const region = await create(machine);
  const span = region.granularityBytes;
  const count = 1 + machine.below(60);
  let durable = 0;
  for (let record = 1; record <= count; record += 1) {
    region.bytes.fill(record, record * span, (record + 1) * span);
    const pending = region.persist(record * span, span);
    if (record === count && machine.below(2) === 0) break;
    await pending;
    durable = record;
  }
  machine.losePower();
  const again = await reopen(machine);
  const found: number[] = [];
  for (let record = 1; record <= count; record += 1) {
    if (again.bytes[record * span] === record && again.bytes[(record + 1) * span - 1] === record) found.push(record);
  }
  again.close();
  return { durable, found };
}

export function faultTests(makeMachine: (seed: number) => ScmMachine): void {
  test(`what was persisted survives power loss (${POWER_LOSS_SEEDS} seeds)`, async () => {
    for (let seed = 1; seed <= POWER_LOSS_SEEDS; seed += 1) {
      expect({ seed, lost: await spansLost(makeMachine(seed)) }).toEqual({ seed, lost: 0 });
    }
  });

  test("the power-loss test notices persists that do nothing", async () => {
    let lost = 0;
    for (let seed = 1; seed <= 10; seed += 1) lost += await spansLost(makeMachine(seed), true);
    expect(lost).toBeGreaterThan(0);
  });

  test("records persisted one after the other are all there up to the last that was durable", async () => {
    for (let seed = 1; seed <= POWER_LOSS_SEEDS; seed += 1) {
      const { durable, found } = await recordsAfterPowerLoss(makeMachine(seed));
      const expected = Array.from({ length: durable }, (_, index) => index + 1);
      expect({ seed, found: found.slice(0, durable) }).toEqual({ seed, found: expected });
    }
  });

  test("a region opens after power loss without a persist, and again after power loss right after opening", async () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const machine = makeMachine(seed);
      const region = await create(machine);
      const span = region.granularityBytes;
      region.bytes.fill(9, 0, span);
      await region.persist(0, span);
      for (let cut = 0; cut < 3; cut += 1) {
        machine.losePower();
        const again = await reopen(machine);
        expect({ seed, cut, first: again.bytes[0], last: again.bytes[span - 1] }).toEqual({
          seed,
          cut,
          first: 9,
          last: 9,
        });
      }
    }
  });

  test("after a failed write nothing is taken for durable any more", async () => {
    const machine = makeMachine(1);
    const region = await create(machine);
    const span = region.granularityBytes;
    region.bytes.fill(1, 0, span);
    await region.persist(0, span);
    machine.failWrite();
    region.bytes.fill(2, span, 2 * span);
    await expectCode("IO", () => region.persist(span, span));
    await expectCode("IO", () => region.persist(2 * span, span));
    region.close();
    const again = await reopen(machine);
    expect(again.bytes[0]).toBe(1);
    again.close();
  });
}

/** Faults of the disk below a plugin that keeps a file on it. */
export function diskFaultTests(makeProvider: () => ScmProvider): void {
  test("power loss while making a region leaves none or a whole one, and making it again works", async () => {
    for (let seed = 1; seed <= 30; seed += 1) {
      const world = simulatedWorld(seed);
      world.disk.losePowerAt(1 + world.random.below(40));
      const making = makeProvider().open(world, { ...OPEN, create: true });
      await Promise.race([making.catch(() => undefined), world.timers.advance(1000)]);
      powerCycle(world);
      const found = await makeProvider()
        .open(world, { ...OPEN, create: false })
        .catch((error) => error.code);
      if (typeof found === "string") expect(found).toBe("NOT_FOUND");
      else expect(isZero(found.bytes)).toBe(true);
      const fresh = await makeProvider().open(world, { ...OPEN, create: true });
      expect(isZero(fresh.bytes)).toBe(true);
    }
  });

  test("a full disk: NO_SPACE and nothing half-made", async () => {
    const world = simulatedWorld(1, { disk: { capacityBytes: REGION_BYTES / 2 } });
    await expectCode("NO_SPACE", () => makeProvider().open(world, { ...OPEN, create: true }));
    await expectCode("NOT_FOUND", () => makeProvider().open(world, { ...OPEN, create: false }));
    expect(world.disk.freeBytes()).toBe(REGION_BYTES / 2);
  });

  test("a read that fails while opening: IO", async () => {
    const world = simulatedWorld(1);
    (await makeProvider().open(world, { ...OPEN, create: true })).close();
    world.disk.injectFault({ operation: "read", code: "IO" });
    await expectCode("IO", () => makeProvider().open(world, { ...OPEN, create: false }));
  });

  test("a file that was cut or grew: CORRUPT; a folder in its place: an error, and the folder stays", async () => {
    const world = simulatedWorld(1);
    (await makeProvider().open(world, { ...OPEN, create: true })).close();
    const [name] = world.disk.list(OPEN.folder);
    const path = `${OPEN.folder}/${name}`;
    const resize = (sizeBytes: number): void => {
      const file = world.disk.openFile(path);
      file.truncate(sizeBytes);
      file.close();
    };
    resize(REGION_BYTES - 4096);
    await expectCode("CORRUPT", () => makeProvider().open(world, { ...OPEN, create: false }));
    resize(REGION_BYTES * 2);
    await expectCode("CORRUPT", () => makeProvider().open(world, { ...OPEN, create: false }));
    world.disk.remove(path);
    world.disk.makeFolder(`${path}/inner`);
    await makeProvider()
      .open(world, { ...OPEN, create: false })
      .then(
        () => expect.unreachable(),
        (error) => expect(["IO", "CORRUPT", "NOT_FOUND"]).toContain(error.code),
      );
    expect(world.disk.list(path)).toEqual(["inner"]);
  });
}
