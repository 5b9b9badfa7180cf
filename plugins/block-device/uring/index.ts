/**
 * block-device `uring`: the NVMe tier on a file or a block device through io_uring, past the page cache. Many requests in
 * flight without a thread for any of them: the target's own thread submits and reaps in batches. Needs the native addon
 * `uring`; nothing else is different from block-device `file`, whose files it can open.
 */
import { z } from "zod";
import { definePlugin } from "../../../src/contracts/plugin.ts";
import { nativeProblem } from "./native-file.ts";
import { UringBlockDeviceProvider } from "./provider.ts";

const configSchema = z
  .object({
    /** A file or a block device; `{target}` stands for the name of the target's folder. Default: a file in that folder. */
    path: z.string().min(1).optional(),
    /** Take all the space of a file at format time, written with zeros: slow to format, but never NO_SPACE from below. */
    preallocate: z.boolean().default(false),
    /** Give freed space back to the file system or device at once. */
    discard: z.boolean().default(false),
  })
  .strict();

export default definePlugin({
  kind: "block-device",
  name: "uring",
  description: "a file or a block device through io_uring, past the page cache",
  supports: ["discard"],
  configSchema,
  probe: () => {
    const reason = nativeProblem();
    return reason === undefined ? { available: true } : { available: false, reason };
  },
  create: (config: z.output<typeof configSchema>) => new UringBlockDeviceProvider(config),
});
