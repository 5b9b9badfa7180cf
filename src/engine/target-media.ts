/** A target's media: its SCM region and its part of a device, and the store on both with its index and settle thread. */
import type { BlockDevice } from "../contracts/block-device.ts";
import type { ScmRegion } from "../contracts/scm.ts";
import type { World } from "../contracts/world.ts";
import { checkIndexFile } from "../store/index-content-check.ts";
import { openLmdbIndex } from "../store/lmdb-index.ts";
import { openStore } from "../store/open-store.ts";
import type { Settler } from "../store/settler.ts";
import type { CheckedStore } from "../store/store-checks.ts";
import { windowLead } from "../vos/array-window.ts";
import type { DeviceGuard } from "./device-guard.ts";
import { openTargetDevice } from "./device-opening.ts";
import type { PluginRegistry } from "./plugin-registry.ts";
import { settleRegion, type SettleSettings } from "./settle-settings.ts";
import type { TargetSettings } from "./target-calls.ts";

export const INDEX_FILE = "index.lmdb";

export interface TargetMedia {
  readonly region: ScmRegion;
  readonly device: DeviceGuard;
  /** For the log. */
  readonly notices: readonly string[];
}

/** `faulted` hears why the device is not used any more. */
export async function openTargetMedia(
  world: World,
  registry: PluginRegistry,
  settings: TargetSettings,
  faulted: (reason: string) => void,
): Promise<TargetMedia> {
  const scm = await registry.provider("scm", settings.scm.plugin, settings.scm.config);
  const nvme = await registry.provider("block-device", settings.nvme.plugin, settings.nvme.config);
  const { folder, create, renew } = settings;
  const region = await scm.open(world, { folder, create: create || renew, sizeBytes: settings.scm.sizeBytes });
  const deviceOptions = { folder, create: create || settings.device.isNew, sizeBytes: settings.nvme.sizeBytes };
  const opened = await openTargetDevice(world, nvme, deviceOptions, settings.device, faulted);
  return { region, device: opened.device, notices: [...(region.notices ?? []), ...opened.notices] };
}

export async function openTargetStore(
  { world, startSettler }: { readonly world: World; readonly startSettler: (settings: SettleSettings) => Settler },
  { folder, create, renew, indexBytes }: Pick<TargetSettings, "folder" | "create" | "renew" | "indexBytes">,
  region: ScmRegion,
  device: BlockDevice,
): Promise<CheckedStore> {
  const indexPath = `${folder}/${INDEX_FILE}`;
  if (renew) for (const path of [indexPath, `${indexPath}-lock`]) world.disk.remove(path);
  if (world.disk.exists(indexPath)) checkIndexFile(world.disk, indexPath);
  const index = openLmdbIndex({ path: indexPath, sizeBytes: indexBytes, disk: world.disk });
  const settler = startSettler({ indexPath, indexBytes, region: settleRegion(region) });
  return openStore({ world, region, device, index, settler, create: create || renew, destageRule: windowLead });
}
