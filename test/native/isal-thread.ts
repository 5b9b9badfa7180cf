/**
 * A thread that works with the ISA-L addon until it is ended: says the check word first, then goes on forever.
 */
import { loadIsalAddon } from "../../native/isal/addon.ts";

const result = loadIsalAddon();
if ("reason" in result) throw new Error(result.reason);
const bytes = new Uint8Array(1024 * 1024);
postMessage(result.addon.crc32c(new TextEncoder().encode("123456789")));
for (let seed = 0; ;) seed = result.addon.crc32c(bytes, seed);
