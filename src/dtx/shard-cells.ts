/**
 * The cells of one shard of an erasure-coded dkey, made by its leader from what the other shards have: what the shard has to
 * hold so that it shows its part to readers of the latest state and of each snapshot. Keys, punches and headers of arrays are
 * the leader's own, for every update of the dkey comes by there; values and pieces of arrays are what the scheme says
 * (RedundancyScheme.planRebuild), or what another target shows that serves the shard until now. The leader holds the dkey meanwhile: nothing of it is under way.
 *
 * Epochs are the original ones, but where a window of an array has parts of several (src/vos/shard-image.ts). So the shard may
 * be read once the container's epoch gate on it is above the moment at which it was filled, and not before.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { EPOCH_NONE } from "../base/epoch.ts";
import { hasCode } from "../base/errors.ts";
import { MIB } from "../base/limits.ts";
import type { EpochPart } from "../contracts/redundancy.ts";
import type { CopiedVersion } from "../format/fill-message.ts";
import { VersionKind } from "../store/cell.ts";
import { ownCellKey } from "../vos/cell-key.ts";
import { decodeArrayMeta, MetaType, NO_META } from "../vos/cell-meta.ts";
import { LATEST } from "../vos/condition.ts";
import type { StoredDkey } from "../vos/dkey-copy.ts";
import type { AkeyHistory, KeyHistory, KeyVersion, KeyView } from "../vos/key-history.ts";
import { ShardImage } from "../vos/shard-image.ts";
import { notYet } from "./fill-round.ts";
import { bytesOfPart } from "./shard-parts.ts";
import { type ShardedAkey, without } from "./sharded-akey.ts";
import { servedStripe, servedValue } from "./served-shard.ts";
import { atSnapshot } from "./unkept-snapshot.ts";
import { stripeWindow } from "./stripe-window.ts";

/** Bytes of the stripes that are made at a time, but one at least. */
const BATCH_BYTES = 4 * MIB;

export interface ShardCellsParts {
  /** Snapshots that nobody can read at. */
  readonly unkept: ReadonlySet<Epoch>;
  /** A page of the leader's own cells. Rejects when something of it is undecided. */
  readonly keys: (from: ByteString | undefined) => Promise<KeyHistory>;
  readonly shardedAkey: (akey: ByteString) => ShardedAkey;
  /** The clock: all epochs given later are above it. */
  readonly now: () => Epoch;
}

/** A viewer who sees an array. */
interface ArrayView {
  readonly viewer: Epoch;
  /** To list by: EPOCH_NONE for the latest state. */
  readonly listedAt: Epoch;
  /** Since when the array is; undefined: the viewer sees none. */
  readonly since: number | undefined;
}

/**
 * The cells of the shard of this number, of each from the oldest version on. Rejects as ShardedAkey.run, with UNAVAILABLE
 * when it has to be begun again, and with UnkeptSnapshot when it has to be begun again without that snapshot.
 */
export async function* shardCells(
  parts: ShardCellsParts,
  { prefix }: StoredDkey,
  shard: number,
): AsyncGenerator<readonly CopiedVersion[], void, void> {
  const now = parts.now();
  const isKept = ({ viewer }: KeyView): boolean => !parts.unkept.has(viewer);
  let from: ByteString | undefined;
  do {
    const history = await parts.keys(from);
    if (from === undefined) yield dkeyCells(prefix, history.own.filter(isKept));
    for (const known of history.akeys) {
      const akey = { ...known, views: known.views.filter(isKept) };
      const sharded = parts.shardedAkey(akey.akey);
      yield* akeyCells(sharded, akey, shard, now);
      yield* arrayCells(sharded, akey, shard, now);
    }
    from = history.next;
  } while (from !== undefined);
}

/** The versions that the views show, from the oldest on. */
function* distinct(views: readonly KeyView[]): Generator<{ viewer: Epoch; version: KeyVersion }, void, void> {
  let last = 0;
  for (const { viewer, version } of views) {
    if (version === undefined || version.epoch <= last) continue;
    last = version.epoch;
    yield { viewer, version };
  }
}

function dkeyCells(prefix: string, views: readonly KeyView[]): CopiedVersion[] {
  const key = ownCellKey(prefix);
  const versions = [...distinct(views)].map(({ version }): CopiedVersion => ({ key, ...version, bytes: undefined }));
  // A tombstone with nothing beneath hides nothing.
  const first = versions.findIndex(({ kind }) => kind !== VersionKind.tombstone);
  return first < 0 ? [] : versions.slice(first);
}

/** The akey's own cell: a single value is the shard's part of it, or hidden where the shard has none. */
async function* akeyCells(
  akey: ShardedAkey,
  { prefix, views }: AkeyHistory,
  shard: number,
  now: Epoch,
): AsyncGenerator<readonly CopiedVersion[], void, void> {
  const key = ownCellKey(prefix);
  let isAnything = false;
  for (const { viewer, version } of distinct(views)) {
    const isValue = version.kind === VersionKind.value && version.meta[0] === MetaType.single;
    const isLatest = viewer === LATEST;
    const bytes = isValue
      ? await atSnapshot(isLatest ? EPOCH_NONE : viewer, () =>
          valueOf(akey, shard, isLatest ? now : viewer, version.epoch),
        )
      : undefined;
    const isHidden = version.kind === VersionKind.tombstone || (isValue && bytes === undefined);
    if (isHidden && !isAnything) continue;
    isAnything = true;
    if (isHidden) yield [{ key, epoch: version.epoch, kind: VersionKind.tombstone, meta: NO_META, bytes: undefined }];
    else yield [{ key, ...version, bytes }];
  }
}

/** The shard's part of the value that is shown at `viewer`, which was written at `epoch`; undefined: it has none. */
async function valueOf(akey: ShardedAkey, shard: number, viewer: Epoch, epoch: Epoch): Promise<Uint8Array | undefined> {
  const { scheme } = akey;
  const rebuilt = (): Promise<readonly EpochPart[]> =>
    akey.run((alive) => scheme.planValueRebuild(shard, viewer, without(alive, shard)));
  const [part] = await served(akey, shard, () => servedValue(akey, shard, viewer), rebuilt);
  if (part === undefined) return undefined;
  if (part.epoch !== epoch) throw notYet("its shards do not show the same value");
  return bytesOfPart(part);
}

async function* arrayCells(
  akey: ShardedAkey,
  { prefix, views }: AkeyHistory,
  shard: number,
  now: Epoch,
): AsyncGenerator<CopiedVersion[], void, void> {
  const arrays = views.map(({ viewer, version }): ArrayView => {
    const isArray = version?.kind === VersionKind.value && version.meta[0] === MetaType.array;
    const since = isArray ? decodeArrayMeta({ ...version, metaType: MetaType.array }).since : undefined;
    return viewer === LATEST ? { viewer: now, listedAt: EPOCH_NONE, since } : { viewer, listedAt: viewer, since };
  });
  if (arrays.every(({ since }) => since === undefined)) return;
  const epochs = arrays.map(({ since, listedAt }) => (since === undefined ? undefined : listedAt));
  const atOnce = Math.max(1, Math.floor(BATCH_BYTES / akey.scheme.stripeBytes));
  for (let from: number | undefined = 0; from !== undefined;) {
    const { stripes, next } = await stripeWindow(akey, epochs, from);
    for (let at = 0; at < stripes.length; at += atOnce) {
      const batch = stripes.slice(at, at + atOnce);
      const made = batch.map(({ stripe, shown }) => stripeCells(akey, prefix, arrays, stripe, shown, shard));
      yield (await allOf(made)).flat();
    }
    from = next;
  }
}

/** What the shard has of one stripe. `shown`: for each viewer what the listing shards show of it, in words. */
async function stripeCells(
  akey: ShardedAkey,
  prefix: string,
  views: readonly ArrayView[],
  stripe: number,
  shown: readonly string[],
  shard: number,
): Promise<CopiedVersion[]> {
  const { scheme } = akey;
  const { stripeBytes, dataShards } = scheme;
  const image = new ShardImage(prefix, shard >= dataShards);
  const versions: CopiedVersion[] = [];
  let last = "";
  let lastSince: number | undefined;
  for (const [index, { viewer, since, listedAt }] of views.entries()) {
    if (since === undefined) {
      image.pass(viewer);
      continue;
    }
    if (since !== lastSince) {
      image.restart();
      last = "";
      lastSince = since;
    }
    const now = shown[index]!;
    if (now === last) image.pass(viewer);
    else {
      const rebuilt = (): Promise<readonly EpochPart[]> =>
        akey.run((alive) =>
          scheme.planRebuild(shard, stripe * stripeBytes, stripeBytes, viewer, without(alive, shard)),
        );
      const made = (): Promise<readonly EpochPart[]> =>
        served(akey, shard, () => servedStripe(akey, shard, stripe, viewer), rebuilt);
      const parts = now === "" ? [] : await atSnapshot(listedAt, made);
      versions.push(...image.show(viewer, parts));
    }
    last = now;
  }
  return versions;
}

/** What a target shows that serves the shard until now; what the others give when there is none, or it is damaged. */
async function served<Result>(
  { alive }: ShardedAkey,
  shard: number,
  read: () => Promise<Result>,
  rebuilt: () => Promise<Result>,
): Promise<Result> {
  if (!alive.includes(shard)) return rebuilt();
  try {
    return await read();
  } catch (error) {
    if (hasCode(error, "CORRUPT")) return rebuilt();
    throw error;
  }
}

/** The results of all of them, once none is still under way. */
async function allOf<Result>(promises: readonly Promise<Result>[]): Promise<Result[]> {
  const outcomes = await Promise.allSettled(promises);
  return outcomes.map((outcome) => {
    if (outcome.status === "rejected") throw outcome.reason;
    return outcome.value;
  });
}
