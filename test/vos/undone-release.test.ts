/** A dkey that a transaction has let go of, by what may still be undone, and a punch of its object. */
import { expect, test } from "bun:test";
import { type Epoch, HybridLogicalClock } from "../../src/base/epoch.ts";
import { MIB } from "../../src/base/limits.ts";
import { objectClassByName } from "../../src/base/object-class.ts";
import { objectId } from "../../src/base/object-id.ts";
import type { TransactionStep } from "../../src/format/transaction-part.ts";
import { VersionedObjects } from "../../src/vos/versioned-objects.ts";
import { StoreRig } from "../store/store-rig.ts";
import { CONTAINER, key } from "./rig.ts";

const COPIED = objectId("MULTI_HASHED", objectClassByName("RP_2G1"), 0, 1n);
const LATEST = 0 as Epoch;
const FIRST = { client: 1, sequence: 1 };

for (const decision of ["commit", "abort"] as const) {
  test(`an object is not held for a punch before a release of one of its dkeys is decided (${decision})`, async () => {
    const { store, machine } = await StoreRig.create({ regionBytes: MIB, deviceBytes: 16 * MIB });
    const clock = new HybridLogicalClock(() => machine.clock.wallMs());
    const objects = new VersionedObjects({ store, clock, timers: machine.timers });
    objects.openContainer(CONTAINER);
    let sequence = 10;
    const step = async (dkey: string, isPrepared: boolean, what: TransactionStep, epoch = LATEST): Promise<string> => {
      sequence += 1;
      const order = { origin: { client: 9, sequence, firstIncomplete: 0 }, isPrepared, epoch: undefined };
      const place = { oid: COPIED, dkey: key(dkey), epoch, order };
      const { error } = await objects.transactionStep(CONTAINER, place, what);
      return error?.code ?? "ok";
    };
    const punch = (): Promise<string> => {
      const part = { id: { client: 2, sequence: 1 }, primary: undefined, resolveSequence: 2, punchesUnder: 1 };
      return step("punch 0", false, { kind: "prepare", part, writes: [], reads: [] });
    };
    const part = { id: FIRST, primary: undefined, resolveSequence: 2 };
    const value = new Uint8Array([1]);
    const writes = [{ kind: "update", akey: key("a"), value, replaces: false }] as const;
    expect(await step("d", false, { kind: "prepare", part, writes: [...writes], reads: [] })).toBe("ok");
    const epoch = [...objects.locks.locks][0]!.epoch;
    expect(await step("d", true, { kind: "resolve", id: FIRST }, epoch)).toBe("ok");
    expect(objects.locks.isEmpty).toBe(true);
    expect(await punch()).toBe("CONFLICT");
    expect(store.transactions.decide({ client: 9, sequence: 12 }, decision)).toBe(true);
    await machine.timers.advance(100);
    expect(await punch()).toBe(decision === "commit" ? "ok" : "CONFLICT");
    expect([...objects.locks.locks].map(({ part: held }) => held.id.client)).toEqual([decision === "commit" ? 2 : 1]);
  });
}
