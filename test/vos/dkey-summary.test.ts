/** What a dkey shows is summed up by bytes that are what was stored, or it counts as damaged. */
import { expect, test } from "bun:test";
import { EPOCH_NONE, HybridLogicalClock } from "../../src/base/epoch.ts";
import { VersionedObjects } from "../../src/vos/versioned-objects.ts";
import { StoreRig } from "../store/store-rig.ts";
import { bytes, CONTAINER, key, oid } from "./rig.ts";

const DKEY = { oid: oid(1), dkey: key("dkey") };
const VALUE = { ...DKEY, akey: key("value"), epoch: EPOCH_NONE };
const ARRAY = { ...DKEY, akey: key("array"), epoch: EPOCH_NONE };
const RANGE = { recordIndex: 0, recordCount: 100, recordBytes: 1 };

async function written(): Promise<VersionedObjects> {
  const { store, machine, device } = await StoreRig.create();
  const objects = new VersionedObjects({
    store,
    clock: new HybridLogicalClock(() => machine.clock.wallMs()),
    timers: machine.timers,
    allocate: (sizeBytes) => device.allocate(sizeBytes),
    release: () => device.release(),
  });
  objects.openContainer(CONTAINER);
  await objects.updateValue(CONTAINER, VALUE, bytes("v".repeat(100)));
  const { sequence } = await objects.writeArray(CONTAINER, { ...ARRAY, ...RANGE }, bytes("a".repeat(100)));
  await new Promise<void>((resolve, reject) => {
    store.whenStable(sequence, (error) => (error === undefined ? resolve() : reject(error)));
  });
  return objects;
}

test("DkeySummaries: the same twice; a bit that has flipped in memory since it was stored is damage", async () => {
  const objects = await written();
  const summary = await objects.summaries.read(CONTAINER, DKEY, []);
  expect(summary).toMatchObject({ state: "read", count: 2, bytes: 200 });
  const views = [objects.fetchValue(CONTAINER, VALUE), objects.readArray(CONTAINER, { ...ARRAY, ...RANGE })];
  for (const view of views) {
    if (view instanceof Promise) throw new Error("it was to be read from memory");
    const shown = "value" in view ? view.value : view.bytes;
    shown[50]! ^= 4;
    expect((await objects.summaries.read(CONTAINER, DKEY, [])).state).toBe("damaged");
    shown[50]! ^= 4;
    expect(await objects.summaries.read(CONTAINER, DKEY, [])).toEqual(summary);
  }
});
