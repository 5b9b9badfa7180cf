/** The settle thread of thread-settler.test.ts: the first message is the index's path and the shared log. */
import type { Thread } from "../../src/contracts/world.ts";
import { MIB } from "../../src/base/limits.ts";
import { openLmdbIndex } from "../../src/store/lmdb-index.ts";
import { serveSettle } from "../../src/store/settle-service.ts";
import { parentThread } from "../../src/world/thread.ts";

const parent: Thread = parentThread();
parent.onMessage((message) => {
  const { path, log } = message as { path: string; log: Uint8Array };
  const openers = {
    openIndex: () => openLmdbIndex({ path, sizeBytes: 64 * MIB }),
    openLog: () => (offset: number, length: number) => log.subarray(offset, offset + length),
  };
  serveSettle(parent, openers, (key) => key.startsWith("gated", 4));
});
