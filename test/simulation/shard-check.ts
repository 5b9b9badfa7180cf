/** Whether each choice of shards that decode an object shows what a model has. */
import { expect } from "bun:test";
import { byteStringOfText } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import type { ObjectHandle } from "../../src/client/object-handle.ts";
import type { ShardRead, ShardReadResult } from "../../src/contracts/redundancy.ts";
import { NO_REQUEST_ID, ObjectFlag } from "../../src/format/object-request.ts";
import { Placement } from "../../src/placement/placement.ts";
import { runPlan } from "../../src/redundancy/plan-run.ts";
import { redundancyGroup } from "../../src/redundancy/redundancy-group.ts";
import { CONTAINER, SCHEMES, SERVED } from "./cluster/node.ts";
import type { ModelObject } from "./erasure-model.ts";
import type { ErasureRig } from "./erasure-rig.ts";
import { DKEYS, RECORD_BYTES } from "./erasure-writer.ts";
import { choices } from "./shard-choices.ts";

const ARRAY_BYTES = 600 * RECORD_BYTES;

/** Every k shards show the model, to readers of the latest state and of the snapshot at `epoch`. */
export async function checkAllShards(
  own: ErasureRig,
  object: ObjectHandle,
  model: ModelObject,
  epoch: Epoch,
): Promise<void> {
  const placement = new Placement(own.control.map);
  for (const dkey of DKEYS) {
    const { word, alive, targets } = redundancyGroup(placement, object.id, byteStringOfText(dkey)).shards!;
    const scheme = SCHEMES.of(word, SERVED.cellBytes);
    const reader =
      (akey: string) =>
      async ({ shard, kind, address, length, ...read }: ShardRead): Promise<ShardReadResult> => {
        const { objects } = own.nodes[targets[shard]!]!.life!;
        const flags = (read.orNextReadable ? ObjectFlag.orNextReadable : 0) | ObjectFlag.epochIsSeen;
        const names = { oid: object.id, dkey: byteStringOfText(dkey), akey: byteStringOfText(akey) };
        const request = { ...NO_REQUEST_ID, ...names, epoch: read.epoch, flags };
        return kind === "value"
          ? objects.readShardValue(CONTAINER, request)
          : objects.readShardArray(CONTAINER, request, { address, length });
      };
    for (const shards of [alive, ...choices(alive, scheme.dataShards)]) {
      const place = `${dkey} by ${shards.join()} at ${epoch}`;
      const value = await runPlan(scheme.planValueRead(epoch, shards)!, reader("value"));
      const wanted = model.values.get(`${dkey}/value`);
      expect([place, value === "absent" ? undefined : Buffer.from(value.bytes).toString("hex")]).toEqual([
        place,
        wanted && Buffer.from(wanted).toString("hex"),
      ]);
      const { bytes, extents } = await runPlan(scheme.planRead(0, ARRAY_BYTES, epoch, shards)!, reader("array"));
      const array = model.array(`${dkey}/array`);
      const shown = bytes.length === 0 ? Buffer.alloc(ARRAY_BYTES) : Buffer.from(bytes);
      expect([place, shown.equals(array.read(0, ARRAY_BYTES) ?? Buffer.alloc(ARRAY_BYTES))]).toEqual([place, true]);
      const written = Buffer.alloc(array.written.length);
      for (const { address, length } of extents) written.fill(1, address, address + length);
      expect([place, written.equals(array.written)]).toEqual([place, true]);
    }
  }
}
