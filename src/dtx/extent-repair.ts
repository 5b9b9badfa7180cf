/**
 * Mends what is damaged of an extent on this target's device with what the other members of its group have. Nobody is held up, and
 * no order among updates matters: a version never changes once it is committed, so its bytes are the same now as then, and the
 * checksums in its row tell them from others. Of what is hidden by later writes the others may have nothing left; then nobody sees
 * it here either, and it goes when it is aggregated.
 */
import { EPOCH_MAX, EPOCH_NONE, type Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { type ChunkRun, placeOfExtent, runsOfChunk, type StoredPlace } from "../vos/stored-place.ts";
import { chunkBytes } from "../store/extent-check.ts";
import type { StoreChecks } from "../store/store-checks.ts";
import type { StoredExtent } from "../store/stored-extents.ts";
import { type RepairSource, repairSources } from "./repair-source.ts";
import type { PoolReplication } from "./pool-replication.ts";

export interface ExtentRepairParts {
  readonly checks: StoreChecks;
  readonly pool: PoolReplication | undefined;
  /** Of the container, ascending. */
  readonly snapshots: readonly Epoch[];
  /** See ShardReads.showsWritten. */
  readonly shows: (place: StoredPlace & { readonly epoch: Epoch }, run: ChunkRun, written: Epoch) => boolean;
}

/** What became of damaged chunks. */
export interface ChunkCounts {
  readonly repaired: number;
  /** Nobody has what they were, and somebody may see them. */
  readonly lost: number;
  /** Nobody could be asked: another time. */
  readonly postponed: number;
}

/** The chunks were found damaged. */
export async function repairChunks(
  parts: ExtentRepairParts,
  stored: StoredExtent,
  chunks: readonly number[],
): Promise<ChunkCounts> {
  const repair = new ExtentRepair(parts, stored, chunks);
  return repair.run();
}

class ExtentRepair {
  readonly #parts: ExtentRepairParts;
  readonly #stored: StoredExtent;
  readonly #left: Set<number>;
  readonly #count: number;
  #isUnreachable = false;

  constructor(parts: ExtentRepairParts, stored: StoredExtent, chunks: readonly number[]) {
    this.#parts = parts;
    this.#stored = stored;
    this.#left = new Set(chunks);
    this.#count = chunks.length;
  }

  async run(): Promise<ChunkCounts> {
    const place = placeOfExtent(this.#stored);
    const { pool, checks } = this.#parts;
    const sources = place === undefined || pool === undefined ? [] : repairSources(pool, place);
    for (const source of sources) {
      for (const epoch of this.#epochs()) {
        if (this.#left.size > 0) await this.#attempt(() => this.#fill(source, place!.kind, epoch));
      }
    }
    const repaired = this.#count - this.#left.size;
    // What is gone meanwhile needs nothing.
    if (this.#left.size === 0 || !checks.isPresent(this.#stored)) return { repaired, lost: 0, postponed: 0 };
    const left = this.#left.size;
    if (this.#isUnreachable) return { repaired, lost: 0, postponed: left };
    const lost = [...this.#left].filter((chunk) => this.#isSeen(place, chunk)).length;
    return { repaired, lost, postponed: 0 };
  }

  /** What later writes hide from everybody is no loss. */
  #isSeen(place: StoredPlace | undefined, chunk: number): boolean {
    const { checks, snapshots, shows } = this.#parts;
    const { epoch } = this.#stored;
    if (place?.kind !== "array") return checks.isSeen(this.#stored, [...snapshots, EPOCH_MAX]);
    const runs = runsOfChunk(this.#stored, chunk);
    return [...snapshots, EPOCH_NONE].some((viewer) =>
      runs.some((run) => shows({ ...place, epoch: viewer }, run, epoch)),
    );
  }

  /** At which the version may be seen. */
  #epochs(): Epoch[] {
    const { epoch } = this.#stored;
    return [epoch, ...this.#parts.snapshots.filter((snapshot) => snapshot > epoch), EPOCH_NONE];
  }

  async #attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      if (UNREACHABLE.has(error.code)) this.#isUnreachable = true;
    }
  }

  async #fill(source: RepairSource, kind: "array" | "value", epoch: Epoch): Promise<void> {
    const runs = new Map([...this.#left].map((chunk) => [chunk, runsOfChunk(this.#stored, chunk)]));
    const read = kind === "array" ? arrayReader(source, epoch) : await valueReader(source, epoch);
    const all = [...runs.values()].flat();
    const start = Math.min(...all.map(({ address }) => address));
    const end = Math.max(...all.map(({ address, length }) => address + length));
    const whole = await read(start, end - start).catch((error: unknown) => {
      if (error instanceof DaosError && error.code === "CORRUPT") return undefined;
      throw error;
    });
    for (const [chunk, within] of runs) {
      await this.#attempt(async () => {
        const bytes = new Uint8Array(chunkBytes(this.#stored.extent, chunk));
        for (const run of within) bytes.set(await bytesOf(run, start, whole, read), run.at);
        if (await this.#parts.checks.mend(this.#stored, chunk, bytes)) this.#left.delete(chunk);
      });
    }
  }
}

type ReadBytes = (address: number, length: number) => Promise<Uint8Array>;

function arrayReader(source: RepairSource, epoch: Epoch): ReadBytes {
  return (address, length) => source.array(address, length, epoch);
}

async function valueReader(source: RepairSource, epoch: Epoch): Promise<ReadBytes> {
  const value = await source.value(epoch);
  return (address, length) => Promise.resolve(value.subarray(address, address + length));
}

/** Where the source has damage of its own, by itself: that may lie beside it. */
async function bytesOf(
  { address, length }: ChunkRun,
  start: number,
  whole: Uint8Array | undefined,
  read: ReadBytes,
): Promise<Uint8Array> {
  if (whole === undefined) return (await read(address, length)).subarray(0, length);
  return whole.subarray(address - start, address - start + length);
}

/** Errors after which the same may succeed later. */
const UNREACHABLE: ReadonlySet<string> = new Set(["UNAVAILABLE", "TIMEOUT", "STALE", "CANCELED", "OVERLOADED"]);
