/**
 * Folding: what replicas show of a stripe goes into its parity, in the background. Parity gets the epoch of the newest
 * replica, so the stripe looks the same at every epoch. Run by the leader, whose own parity says what is to be done.
 */
import { EPOCH_NONE, type Epoch } from "../../../src/base/epoch.ts";
import type { Fold } from "../../../src/contracts/redundancy.ts";
import { coveredBytes, newestEpoch } from "../extents.ts";
import type { Steps } from "../plan.ts";
import {
  arrayRead,
  columnContent,
  corrupt,
  type Group,
  parityEpoch,
  parityRead,
  readStripeSlice,
  type Replica,
  replicaReads,
  replicasOf,
  type StripeSlice,
} from "./stripe-state.ts";
import { encodeStripe, hiddenReplicas, parityPart } from "./write-plan.ts";

export function* foldStripe(
  group: Group,
  stripe: number,
  epoch: Epoch,
  leader: number,
  alive: readonly number[],
): Steps<Fold> {
  const { geometry } = group;
  const nothing: Fold = { epoch: EPOCH_NONE, parts: [] };
  // Without parity shards there is nobody to fold for.
  if (leader < geometry.dataShards) return nothing;
  const range = { stripe, low: 0, high: geometry.cellBytes };
  const probe = { stripe, low: 0, high: 1 };
  const results = yield [parityRead(geometry, leader, probe, epoch), ...replicaReads(geometry, leader, range, epoch)];
  const parityAt = parityEpoch(results[0]!, probe);
  const replicas = replicasOf(geometry, range, results.slice(1));
  const extents = replicas.map((replica) => replica.extent);
  if (extents.length === 0) return nothing;
  const whole = coveredBytes(extents) === geometry.stripeBytes;
  // A stripe with holes stays as replicas. So does one without parity in a snapshot: a punch that came after it counts on
  // the replicas, and parity that nobody reads the other cells for holds no one up.
  if (parityAt === EPOCH_NONE && (!whole || epoch !== EPOCH_NONE)) return nothing;
  const slice = whole
    ? { parityEpoch: parityAt, cells: new Map<number, Uint8Array>(), replicas }
    : yield* readBeneath(group, stripe, epoch, parityAt, replicas, alive);
  const image = new Uint8Array(geometry.stripeBytes);
  for (const shard of geometry.dataList) {
    const content = columnContent(geometry, range, slice, shard);
    if (coveredBytes(content.extents) !== geometry.cellBytes) throw corrupt(range, "it has parity, and holes");
    image.set(content.bytes, shard * geometry.cellBytes);
  }
  const parity = encodeStripe(geometry, group.code, group.allocate, image);
  const parts = geometry.parityList.flatMap((shard, index) => [
    parityPart(geometry, shard, stripe, parity[index]),
    hiddenReplicas(geometry, shard, stripe, stripe + 1),
  ]);
  return { epoch: newestEpoch(extents), parts };
}

/** The cells that replicas do not cover: as the data shards show them, or decoded when one of these is lost. */
function* readBeneath(
  group: Group,
  stripe: number,
  epoch: Epoch,
  parityAt: Epoch,
  replicas: readonly Replica[],
  alive: readonly number[],
): Steps<StripeSlice> {
  const { geometry } = group;
  const { cellBytes } = geometry;
  const range = { stripe, low: 0, high: cellBytes };
  const covered: StripeSlice = { parityEpoch: parityAt, cells: new Map(), replicas };
  const open = geometry.dataList.filter((shard) => {
    return coveredBytes(columnContent(geometry, range, covered, shard).extents) < cellBytes;
  });
  const lost = open.filter((shard) => !alive.includes(shard));
  if (lost.length > 0) return yield* readStripeSlice(group, range, lost, epoch, alive);
  const results = yield open.map((shard) => arrayRead(shard, stripe * cellBytes, cellBytes, epoch));
  const cells = new Map<number, Uint8Array>();
  open.forEach((shard, index) => {
    if (coveredBytes(results[index]!.extents) !== cellBytes)
      throw corrupt(range, `shard ${shard} has holes under parity`);
    cells.set(shard, results[index]!.bytes);
  });
  return { parityEpoch: parityAt, cells, replicas };
}
