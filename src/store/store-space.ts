/** What a store takes: of its media, and by container. */
import type { CellUsage, StoreSpace } from "./cell.ts";
import type { Extents } from "./extents.ts";
import type { Log } from "./log.ts";
import type { IndexSpace } from "./settled-index.ts";

/** The log counts as SCM. */
export function storeSpace(log: Log, index: IndexSpace, extents: Extents): StoreSpace {
  const { segmentCount, segmentBytes } = log.layout;
  return {
    logTotalBytes: segmentCount * segmentBytes,
    logUsedBytes: log.usedBytes,
    scmTotalBytes: segmentCount * segmentBytes + index.totalBytes,
    scmUsedBytes: log.usedBytes + index.usedBytes,
    nvmeTotalBytes: extents.totalBytes,
    nvmeUsedBytes: extents.usedBytes,
  };
}

/** What is settled and what is logged, together. */
export function addedUsage(settled: CellUsage | undefined, logged: CellUsage): CellUsage {
  if (settled === undefined) return logged;
  return {
    scmBytes: settled.scmBytes + logged.scmBytes,
    nvmeBytes: settled.nvmeBytes + logged.nvmeBytes,
    versions: settled.versions + logged.versions,
  };
}
