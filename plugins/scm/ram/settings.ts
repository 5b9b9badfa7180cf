/**
 * Settings of scm `ram`: the device that its log is on, and what they mean together.
 */
import { z } from "zod";
import { spdkConfigSchema } from "../../block-device/spdk/configuration.ts";

const path = z.string().min(1);

const device = z.discriminatedUnion("plugin", [
  z.strictObject({ plugin: z.literal("file") }),
  z.strictObject({
    plugin: z.literal("uring"),
    config: z
      .strictObject({
        /** A file or a block device; `{target}` stands for the name of the target's folder. */
        path: path.optional(),
        /** Format a block device that holds something. */
        overwrite: z.boolean().default(false),
      })
      .prefault({}),
  }),
  z.strictObject({ plugin: z.literal("spdk"), config: spdkConfigSchema }),
]);

const fields = z.strictObject({
  /** A folder for the region files, on a faster device say; default: the target's own folder. */
  path: path.optional(),
  /** Of persists that are alone: `sync` blocks the target's thread, `async` never does, `auto` goes by latency. */
  mode: z.enum(["auto", "sync", "async"]).default("auto"),
  /** What the log is written through; default: uring where it can be had, else file, on a file in the folder. */
  device: device.optional(),
});

export const ramSettings = fields.superRefine((settings, context) => {
  if (settings.path === undefined || settings.device === undefined) return;
  const { plugin } = settings.device;
  const message =
    plugin === "spdk"
      ? "has no use with device spdk"
      : plugin === "uring" && settings.device.config.path !== undefined
        ? "has no use when the device has a path"
        : undefined;
  if (message !== undefined) context.addIssue({ code: "custom", path: ["path"], message });
});

export type RamSettings = z.output<typeof fields>;
