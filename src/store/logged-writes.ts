/** Puts the writes of a record that was appended into memory: the active memtable, and out of the read cache. */
import { LOG_WRITE_BYTES, logWriteBytes } from "../format/log-record.ts";
import type { CellWrite } from "./cell.ts";
import type { Generations } from "./generations.ts";
import { loggedVersion, type VersionSource } from "./logged-version.ts";
import type { ReadCache } from "./read-cache.ts";

export interface LoggedWritesParts {
  readonly log: VersionSource;
  readonly generations: Generations;
  readonly cache: ReadCache;
}

/** `start`: where the writes begin in the log's memory. */
export function placeWrites(
  { log, generations, cache }: LoggedWritesParts,
  sequence: number,
  writes: readonly CellWrite[],
  start: number,
): void {
  let position = start;
  for (let index = 0; index < writes.length; index += 1) {
    const write = writes[index]!;
    const bytes = logWriteBytes(write);
    const metaOffset = position + LOG_WRITE_BYTES + write.key.length;
    const version = loggedVersion(log, sequence, write, metaOffset);
    generations.put(write.key, version, bytes);
    cache.evict(write.key);
    position += bytes;
  }
}
