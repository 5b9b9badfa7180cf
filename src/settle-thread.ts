/**
 * Entry of a settle thread: its first message says where the index and the log are, the rest are the store's calls. It also
 * takes the memory of a log that lies in memory, for the target's thread, which would have to with the first writes.
 */
import type { Thread } from "./contracts/world.ts";
import type { SettleSettings } from "./engine/settle-settings.ts";
import { openLmdbIndex } from "./store/lmdb-index.ts";
import { serveSettle, type SettleOpeners } from "./store/settle-service.ts";
import { isGatedKey } from "./vos/cell-key.ts";
import { parentThread } from "./world/index.ts";
import { FileRangeView } from "./world/file-range-view.ts";
import { libc } from "./world/libc.ts";
import { makeResident } from "./world/resident.ts";
import { RealTimers } from "./world/timers.ts";

/** A third of what another thread gets, when processors are scarce: nobody waits for settling unless the log is full. */
const SETTLE_NICE = 5;

const parent: Thread = parentThread();
libc?.giveWay(SETTLE_NICE);

parent.onMessage((message) => {
  const { indexPath, indexBytes, region } = message as SettleSettings;
  let view: FileRangeView | undefined;
  const openers: SettleOpeners = {
    // The target's thread has opened and checked the file before the first call.
    openIndex: () => openLmdbIndex({ path: indexPath, sizeBytes: indexBytes }),
    openLog: () => {
      if (!("bytes" in region)) view = new FileRangeView(region.fileRange);
      const bytes = "bytes" in region ? region.bytes : view!.bytes;
      return (offset, length) => bytes.subarray(offset, offset + length);
    },
    closeLog: () => view?.close(),
  };
  serveSettle(parent, openers, isGatedKey);
  if ("bytes" in region) makeResident(region.bytes, new RealTimers());
});
