/**
 * What the driver of persistent memory tells about the medium, checked before a region on it is used: bad blocks, whose
 * first read would end the process (SIGBUS), and the modules' count of unsafe shutdowns, after which writes that were
 * durable may be gone. On machines that tell neither, both are taken for none; the notice says so.
 */
import type { PmdkSource } from "../../../native/pmdk/addon.ts";
import { crc32 } from "../../../src/base/checksum.ts";
import { DaosError } from "../../../src/base/errors.ts";
import type { RegionHeader, RegionHealth } from "./region-header.ts";

/** Bad blocks named in a message. */
const NAMED_BLOCKS = 8;

/** Throws CORRUPT when a bad block lies in the first `usedBytes` of the file or device. */
export function requireNoBadBlocks(path: string, source: PmdkSource, usedBytes: number): void {
  const inside = (source.badBlocks ?? []).filter(({ offset }) => offset < usedBytes);
  if (inside.length === 0) return;
  const named = inside.slice(0, NAMED_BLOCKS).map(({ offset, length }) => `${length} bytes at ${offset}`);
  const more = inside.length > named.length ? ` and ${inside.length - named.length} more` : "";
  throw new DaosError(
    "CORRUPT",
    `Cannot open "${path}": the medium has bad blocks (${named.join(", ")}${more}). ` +
      "Restore the target from its redundancy or a backup; ndctl clear-errors makes the memory usable again.",
  );
}

/** What goes into the region's header; undefined where the modules tell nothing. */
export function healthOf(source: PmdkSource): RegionHealth | undefined {
  const { unsafeShutdowns, deviceId } = source;
  if (unsafeShutdowns === undefined) return undefined;
  return { unsafeShutdowns, device: crc32(Buffer.from(deviceId ?? "", "utf8")) };
}

/**
 * How many unsafe shutdowns the modules had while the region was in use, 0 when it is on other modules now. Throws
 * CORRUPT when there were any, unless `accepted`.
 */
export function unsafeShutdownsSince(
  path: string,
  header: RegionHeader,
  now: RegionHealth | undefined,
  accepted: boolean,
): number {
  const before = header.health;
  if (!header.inUse || before === undefined || now === undefined || before.device !== now.device) return 0;
  const count = now.unsafeShutdowns - before.unsafeShutdowns;
  if (count === 0 || accepted) return count;
  throw new DaosError(
    "CORRUPT",
    `Cannot open "${path}": its memory modules report ${count} unsafe shutdowns while it was in use, so that durable ` +
      'writes may be gone. Restore the target from its redundancy or a backup, or set "accept_unsafe_shutdown: true".',
  );
}

/** One line for the admin: `bad blocks: none; unsafe shutdown count: not available`. */
export function healthLine(source: PmdkSource): string {
  const badBlocks = source.badBlocks === undefined ? "not available" : String(source.badBlocks.length || "none in use");
  return `bad blocks: ${badBlocks}; unsafe shutdown count: ${source.unsafeShutdowns ?? "not available"}`;
}
