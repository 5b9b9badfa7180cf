/** What a leader sends of a dkey to a member that cannot be read yet: its cells, in pages. */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import type { AkeyPlace } from "../base/key-place.ts";
import { MIB } from "../base/limits.ts";
import { type CopiedVersion, copiedVersionBytes } from "../format/fill-message.ts";
import type { StoredDkey } from "../vos/dkey-copy.ts";
import type { KeyHistory } from "../vos/key-history.ts";
import { dkeyTransactions } from "../vos/transaction-cells.ts";
import { notYet } from "./fill-round.ts";
import type { FillStore } from "./fill-store.ts";
import { shardCells } from "./shard-cells.ts";
import type { ShardedAkey } from "./sharded-akey.ts";

/** Bytes of a page, but one version at least. */
const PAGE_BYTES = 1 * MIB;

/** Of each cell from the oldest version on; in each list as many as there are at a time. */
export type Cells = AsyncIterable<readonly CopiedVersion[]>;

export interface CellPage {
  readonly versions: readonly CopiedVersion[];
  readonly isLast: boolean;
}

/**
 * The cells of a dkey from a key on as they are stored here; all of them without. Rejects with UNAVAILABLE when something is
 * undecided.
 */
export async function* copiedCells(
  store: FillStore,
  container: number,
  { prefix }: StoredDkey,
  from?: ByteString,
): AsyncGenerator<readonly CopiedVersion[], void, void> {
  do {
    const page = await store.copies.read(container, prefix, from);
    if (page.isUndecided) throw undecided();
    await store.stable(page.sequence);
    yield page.versions;
    from = page.next;
  } while (from !== undefined);
}

export interface MadeCellsParts {
  readonly store: FillStore;
  /** The akey as its leader works on it; throws STALE when this target does not lead it. */
  readonly shardedAkey: (container: number, place: AkeyPlace) => ShardedAkey;
  /** The clock: all epochs given later are above it. */
  readonly now: () => Epoch;
}

/**
 * The cells of the shard of this number of an erasure-coded dkey, made of the others (see `shardCells`), and what transactions
 * keep of the dkey, which all shards have alike.
 */
export async function* madeCells(
  { store, shardedAkey, now }: MadeCellsParts,
  container: number,
  place: StoredDkey,
  shard: number,
  unkept: ReadonlySet<Epoch>,
): AsyncGenerator<readonly CopiedVersion[], void, void> {
  const { oid, dkey, prefix } = place;
  const keys = async (from: ByteString | undefined): Promise<KeyHistory> => {
    const page = store.keys.read(container, prefix, from);
    if (page.isUndecided) throw undecided();
    await store.stable(page.sequence);
    return page;
  };
  const parts = { unkept, keys, now, shardedAkey: (akey: ByteString) => shardedAkey(container, { oid, dkey, akey }) };
  yield* shardCells(parts, place, shard);
  yield* copiedCells(store, container, place, dkeyTransactions(prefix).from);
}

/** The cells in pages; one at least. */
export async function* inPages(prefix: string, cells: Cells): AsyncGenerator<CellPage, void, void> {
  let page: CopiedVersion[] = [];
  let bytes = 0;
  for await (const versions of cells) {
    for (const version of versions) {
      const size = copiedVersionBytes(prefix, version);
      if (page.length > 0 && bytes + size > PAGE_BYTES) {
        yield { versions: page, isLast: false };
        page = [];
        bytes = 0;
      }
      page.push(version);
      bytes += size;
    }
  }
  yield { versions: page, isLast: true };
}

function undecided(): Error {
  return notYet("an update of it is not decided");
}
