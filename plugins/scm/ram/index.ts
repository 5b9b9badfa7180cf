/**
 * scm `ram`: storage class memory that is ordinary memory, loaded from a log device at open and made durable through it:
 * DAOS's "metadata on SSD". The device is an io_uring file or block device, a plain file, or an NVMe device in user space.
 */
import { definePlugin } from "../../../src/contracts/plugin.ts";
import { RamScmProvider } from "./provider.ts";
import { ramSettings, type RamSettings } from "./settings.ts";

export default definePlugin({
  kind: "scm",
  name: "ram",
  description: "memory over a log on a block device: io_uring, a file, or spdk",
  supports: [],
  configSchema: ramSettings,
  // What the configured device lacks is told when it is opened: without one any file system serves.
  probe: () => ({ available: true }),
  create: (settings: RamSettings) => new RamScmProvider(settings),
});
