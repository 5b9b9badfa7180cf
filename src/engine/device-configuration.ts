/**
 * `nvme.devices` of the configuration: several devices of one engine, each with its plugin. DAOS's words are taken where
 * they fit: `class: nvme` is plugin spdk, `kdev` is uring with a device for each entry of `bdev_list`, `file` is a file.
 */
import { z } from "zod";
import { MAX_ENGINE_TARGETS } from "../base/limits.ts";

/** Each device serves at least one target. */
export const MAX_DEVICES = MAX_ENGINE_TARGETS;

/** One device, or what one instance of a plugin makes of several. */
export interface DeviceConfiguration {
  readonly plugin: string;
  /** Checked by the plugin. */
  readonly config: Readonly<Record<string, unknown>>;
}

const CLASS_PLUGINS = { nvme: "spdk", kdev: "uring", file: "file" } as const;

const entrySchema = z
  .strictObject({
    plugin: z
      .string()
      .regex(/^[a-z][a-z0-9-]*$/)
      .optional(),
    path: z.string().min(1).optional(),
    config: z.record(z.string(), z.unknown()).default({}),
    class: z.enum(["nvme", "kdev", "file"]).optional(),
    bdev_list: z.array(z.string().min(1)).min(1).optional(),
    bdev_roles: z.array(z.enum(["data"])).optional(),
  })
  .refine((entry) => entry.plugin !== undefined || entry.class !== undefined)
  .refine((entry) => entry.plugin !== undefined || entry.class === "file" || entry.bdev_list !== undefined);

export const deviceListSchema = z
  .array(entrySchema)
  .min(1)
  .transform((entries) => entries.flatMap(devicesOf))
  .refine((devices) => devices.length <= MAX_DEVICES);

function devicesOf(entry: z.output<typeof entrySchema>): DeviceConfiguration[] {
  const { plugin, path, config, class: kind, bdev_list: list, bdev_roles: roles } = entry;
  const own = path === undefined ? config : { ...config, path };
  const words = {
    ...(kind !== undefined && { class: kind }),
    ...(list !== undefined && { bdev_list: list }),
    ...(roles !== undefined && { bdev_roles: roles }),
  };
  if (plugin !== undefined) return [{ plugin, config: { ...own, ...words } }];
  if (kind === "kdev") return list!.map((device) => ({ plugin: CLASS_PLUGINS.kdev, config: { ...own, path: device } }));
  if (kind === "nvme") return [{ plugin: CLASS_PLUGINS.nvme, config: { ...own, ...words } }];
  return (list ?? [undefined]).map((folder) => ({
    plugin: CLASS_PLUGINS.file,
    config: folder === undefined ? own : { ...own, path: folder },
  }));
}

/** Where the device is, as far as its configuration says: a path, a PCI address. */
export function devicePathOf({ config }: DeviceConfiguration): string | undefined {
  const { path, bdev_list: list, socket } = config;
  if (typeof path === "string") return path;
  if (typeof socket === "string") return socket;
  return Array.isArray(list) && list.every((device) => typeof device === "string") ? list.join(", ") : undefined;
}
