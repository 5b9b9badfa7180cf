/**
 * One pass of a scrubber over what a target has stored: all log records and tables, then container by container the rows of its cells
 * and, past all caches, the bytes on the device. Damage is repaired as it is found (repairs.ts). It goes in steps of at
 * most a megabyte or so; whoever walks decides when the next one is done.
 */
import type { ByteString } from "../base/bytes.ts";
import { BLOCK_BYTES, MIB } from "../base/limits.ts";
import { NOTHING_SCRUBBED, type ScrubCounts } from "../format/scrub.ts";
import type { StoreChecks } from "../store/store-checks.ts";
import { containerPrefix, snapshotStart } from "../vos/cell-key.ts";
import type { Repairs } from "./repairs.ts";

/** Chunks of an extent that one step reads. */
const STEP_CHUNKS = MIB / BLOCK_BYTES;
const NONE = "" as ByteString;
const CELL_TABLES = ["cells", "history"] as const;

/** What one step has looked at and found. */
export type ScrubStep = ScrubCounts;

/** The log, and the tables that have no cells. Rejects as StoreChecks. */
export async function* scrubStore(checks: StoreChecks, repairs: Repairs): AsyncGenerator<ScrubStep, void, void> {
  for (const ordinal of checks.log.ordinals()) {
    const { bytes, mended, damaged } = await checks.log.check(ordinal);
    yield { bytes, ...repairs.noted({ damaged: mended + damaged, repaired: mended, lost: damaged }) };
  }
  for (const table of checks.tables) {
    if (CELL_TABLES.some((name) => name === table)) continue;
    yield* scrubRows(checks, repairs, { table, from: NONE, to: NONE });
  }
}

async function* scrubRows(
  checks: StoreChecks,
  repairs: Repairs,
  range: Parameters<StoreChecks["rows"]>[0],
): AsyncGenerator<ScrubStep, void, void> {
  for (let from: ByteString | undefined = range.from; from !== undefined;) {
    const slice: Awaited<ReturnType<StoreChecks["rows"]>> = await checks.rows({ ...range, from });
    const [repaired, lost] = [slice.mended.length, slice.damaged.length];
    yield { bytes: slice.bytes, ...repairs.noted({ damaged: repaired + lost, repaired, lost }) };
    from = slice.next;
  }
}

/** What is stored of a container's objects. Rejects as StoreChecks. */
export async function* scrubContainer(
  checks: StoreChecks,
  repairs: Repairs,
  container: number,
): AsyncGenerator<ScrubStep, void, void> {
  const prefix = containerPrefix(container);
  const range = { from: prefix as ByteString, to: snapshotStart(prefix) };
  for (const table of CELL_TABLES) yield* scrubRows(checks, repairs, { table, ...range });
  for (let from: ByteString | undefined = range.from; from !== undefined;) {
    const { extents, next } = checks.extentsIn(from, range.to);
    for (const stored of extents) {
      const count = stored.extent.checksums.length;
      for (let first = 0; first < count; first += STEP_CHUNKS) {
        const chunks = Array.from({ length: Math.min(STEP_CHUNKS, count - first) }, (_, at) => first + at);
        const damaged = await checks.damaged(stored, chunks);
        const found = damaged.length === 0 ? NOTHING_SCRUBBED : await repairs.extent(stored, damaged);
        yield { ...found, bytes: chunks.length * BLOCK_BYTES };
      }
    }
    if (extents.length === 0) yield NOTHING_SCRUBBED;
    from = next;
  }
}
