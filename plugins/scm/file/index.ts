/**
 * scm `file`: storage class memory for machines that have none. The region is ordinary memory, loaded from a file at
 * open; `persist` writes its range to the file with O_DSYNC, past the page cache where the file system can (O_DIRECT).
 * The file is preallocated and written once with zeros, so that a persist changes no metadata of the file system.
 */
import { z } from "zod";
import { definePlugin } from "../../../src/contracts/plugin.ts";
import { FileScmProvider } from "./region.ts";

const configSchema = z
  .object({
    /** A folder for the region files, on a faster device say; default: the target's own folder. */
    path: z.string().min(1).optional(),
    /** `sync` blocks the target's thread, `async` uses the thread pool, `auto` picks by measured latency. */
    mode: z.enum(["auto", "sync", "async"]).default("auto"),
  })
  .strict();

export default definePlugin({
  kind: "scm",
  name: "file",
  description: "memory over a file, written with O_DSYNC and O_DIRECT; needs no hardware",
  supports: [],
  configSchema,
  probe: () => ({ available: true }),
  create: (config: z.output<typeof configSchema>) => new FileScmProvider(config.mode, config.path),
});
