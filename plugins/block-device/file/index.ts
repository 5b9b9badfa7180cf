/**
 * block-device `file`: the NVMe tier on one file of any file system. Writes go past the page cache (O_DIRECT), durable
 * ones through a descriptor with O_DSYNC; reads use the page cache unless `reads: direct` is configured. The file is
 * sparse by default, so that formatting takes no time: then a full file system shows as NO_SPACE on a write.
 */
import { z } from "zod";
import { definePlugin } from "../../../src/contracts/plugin.ts";
import { FileBlockDeviceProvider } from "./provider.ts";

const configSchema = z
  .object({
    /** A folder for the device files, on another disk say; default: the target's own folder. */
    path: z.string().min(1).optional(),
    /** Take all the space at format time, written with zeros: slow to format, but never NO_SPACE from below. */
    preallocate: z.boolean().default(false),
    /** Give freed space of a sparse file back at once: about 0.3 ms a MiB in the target's thread, and slower rewrites. */
    discard: z.boolean().default(false),
    /** `cached` reads through the page cache, `direct` past it: for a device much larger and as fast as memory. */
    reads: z.enum(["cached", "direct"]).default("cached"),
    /** `sync` blocks the thread for small I/O, `async` uses the thread pool, `auto` picks by measured latency. */
    mode: z.enum(["auto", "sync", "async"]).default("auto"),
  })
  .strict();

export default definePlugin({
  kind: "block-device",
  name: "file",
  description: "one file of any file system, written with O_DIRECT; needs no hardware",
  supports: ["discard"],
  configSchema,
  probe: () => ({ available: true }),
  create: (config: z.output<typeof configSchema>) => new FileBlockDeviceProvider(config),
});
