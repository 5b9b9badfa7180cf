/**
 * Entry of a settle thread: its first message says where the index and the log are, the rest are the store's calls.
 */
import type { Thread } from "./contracts/world.ts";
import type { SettleSettings } from "./engine/settle-settings.ts";
import { openLmdbIndex } from "./store/lmdb-index.ts";
import { serveSettle } from "./store/settle-service.ts";
import { parentThread } from "./world/index.ts";

const parent: Thread = parentThread();

parent.onMessage((message) => {
  const { indexPath, indexBytes, regionBytes } = message as SettleSettings;
  serveSettle(parent, {
    // The target's thread has opened and checked the file before the first call.
    openIndex: () => openLmdbIndex({ path: indexPath, sizeBytes: indexBytes }),
    openLog: () => (offset, length) => regionBytes.subarray(offset, offset + length),
  });
});
