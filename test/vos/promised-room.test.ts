/** What is prepared can be ended in a log that is full: room is kept for it from the lock on, also after a start. */
import { expect, test } from "bun:test";
import type { Epoch } from "../../src/base/epoch.ts";
import { EPOCH_ORIGIN_MS, HybridLogicalClock } from "../../src/base/epoch.ts";
import type { DaosError } from "../../src/base/errors.ts";
import { KIB } from "../../src/base/limits.ts";
import type { TransactionStep } from "../../src/format/transaction-part.ts";
import { VersionKind } from "../../src/store/cell.ts";
import type { WriteOutcome } from "../../src/vos/single-value.ts";
import { VersionedObjects } from "../../src/vos/versioned-objects.ts";
import { StoreRig } from "../store/store-rig.ts";
import { CONTAINER, key, oid } from "./rig.ts";

const LATEST = 0 as Epoch;
const ID = { client: 5, sequence: 1 };
const AT = { oid: oid(1), dkey: key("d") };
const DKEYS = 6;

/** A store in which nothing is settled from a moment on, and its log fills up. */
class FullLog {
  readonly rig: StoreRig;
  objects!: VersionedObjects;
  #sequence = 100;

  constructor(rig: StoreRig) {
    this.rig = rig;
    this.open();
  }

  open(): void {
    const { store, machine } = this.rig;
    const clock = new HybridLogicalClock(() => EPOCH_ORIGIN_MS + 1000);
    this.objects = new VersionedObjects({ store, clock, timers: machine.timers });
    this.objects.openContainer(CONTAINER);
  }

  step(what: TransactionStep, epoch: Epoch, dkey: number): Promise<WriteOutcome> {
    this.#sequence += 1;
    const origin = { client: 9, sequence: this.#sequence, firstIncomplete: 0 };
    const order = { origin, isPrepared: false, epoch: undefined };
    return this.objects.transactionStep(CONTAINER, { ...AT, dkey: key(`d${dkey}`), epoch, order }, what);
  }

  /** Writes, then punches, until neither gets in. Resolves to how many of each did. */
  async fill(): Promise<{ writes: number; punches: number }> {
    const until = async (run: (index: number) => Promise<unknown> | undefined): Promise<number> => {
      for (let count = 0; ; count += 1) if (run(count) === undefined) return count;
    };
    const { store } = this.rig;
    const isIn = (wait: undefined | Promise<void>): boolean => {
      void wait?.catch(() => {});
      return wait === undefined;
    };
    const write = (index: number, punch: boolean): Promise<void> | undefined => {
      if (!isIn(store.admit(KIB, { punch }))) return undefined;
      this.rig.store.append([
        {
          key: `\x00\x00\x00\x01${punch ? "p" : "w"}${index}` as ReturnType<typeof key>,
          epoch: 1 as Epoch,
          kind: VersionKind.value,
          meta: new Uint8Array(0),
          inline: new Uint8Array(900),
        },
      ]);
      return Promise.resolve();
    };
    return { writes: await until((index) => write(index, false)), punches: await until((index) => write(index, true)) };
  }
}

for (const restarts of [false, true]) {
  test(`what is prepared is ended, or undone, in a full log${restarts ? ", also after a start" : ""}`, async () => {
    let isHeld = false;
    const gate = Promise.withResolvers<void>();
    const rig = await StoreRig.create({}, (settler) => ({
      settle: async (request) => {
        if (isHeld) await gate.promise;
        return settler.settle(request);
      },
      maintain: (request) => settler.maintain(request),
      close: () => settler.close(),
    }));
    const log = new FullLog(rig);
    isHeld = true;
    const epochs: Epoch[] = [];
    for (let dkey = 0; dkey < DKEYS; dkey += 1) {
      const primary = dkey === 0 ? undefined : { oid: AT.oid, dkey: key("d0") };
      const part = { id: ID, primary, resolveSequence: 2, ...(dkey === 0 && { endBytes: 200 }) };
      // Some in the record, some on the device.
      const value = new Uint8Array(dkey % 2 === 0 ? 3 * KIB : 5_001).fill(dkey + 1);
      const writes = [{ kind: "update", akey: key("a"), value, replaces: false } as const];
      const outcome = await log.step({ kind: "prepare", part, writes, reads: [] }, LATEST, dkey);
      expect(outcome.error).toBeUndefined();
      await rig.durable(outcome.sequence);
      epochs.push(outcome.epoch);
    }
    if (restarts) {
      await rig.crash();
      log.open();
    }
    const { writes, punches } = await log.fill();
    expect(writes).toBeGreaterThan(5);
    expect(punches).toBeGreaterThan(5);
    const epoch = epochs.at(-1)!;
    const participants = epochs.slice(1).map((_, index) => ({ oid: AT.oid, dkey: key(`d${index + 1}`) }));
    const decision = { id: ID, epoch, forgetSequence: 3, participants };
    const ended: WriteOutcome[] = [];
    void (async () => {
      ended.push(await log.step({ kind: "commit", decision }, epoch, 0));
      // The last one is undone: that takes a record, too.
      for (let dkey = 1; dkey < DKEYS; dkey += 1) {
        ended.push(await log.step({ kind: "resolve", id: ID }, dkey === DKEYS - 1 ? LATEST : epoch, dkey));
      }
    })().catch((error: DaosError) => expect(error.message).toBe("no error"));
    await rig.machine.timers.advance(1_000);
    expect(ended.length).toBe(DKEYS);
    expect(ended.every(({ error }) => error === undefined)).toBe(true);
    expect(log.objects.locks.isEmpty).toBe(true);
    gate.resolve();
    isHeld = false;
    await rig.settle();
    for (let dkey = 0; dkey < DKEYS - 1; dkey += 1) {
      const at = { ...AT, dkey: key(`d${dkey}`), akey: key("a"), epoch: LATEST };
      expect((await log.objects.fetchValue(CONTAINER, at)).value[0]).toBe(dkey + 1);
    }
  });
}

test("what the log could never end besides the rest is not prepared: NO_SPACE", async () => {
  const log = new FullLog(await StoreRig.create());
  const value = new Uint8Array(3 * KIB);
  const writes = [{ kind: "update", akey: key("a"), value, replaces: false } as const];
  const codes: string[] = [];
  for (let dkey = 0; dkey < 200 && codes.length === 0; dkey += 1) {
    const part = { id: { client: 5, sequence: dkey + 1 }, primary: undefined, resolveSequence: 2 };
    await log.step({ kind: "prepare", part, writes, reads: [] }, LATEST, dkey).catch((error: DaosError) => {
      codes.push(error.code);
    });
    await log.rig.machine.timers.advance(100);
  }
  expect(codes).toEqual(["NO_SPACE"]);
  // As soon as one of them is ended there is room for another.
  await log.step({ kind: "resolve", id: { client: 5, sequence: 1 } }, LATEST, 0);
  const part = { id: { client: 6, sequence: 1 }, primary: undefined, resolveSequence: 2 };
  const outcome = await log.step({ kind: "prepare", part, writes, reads: [] }, LATEST, 500);
  expect(outcome.error).toBeUndefined();
});
