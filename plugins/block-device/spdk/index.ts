/**
 * block-device `spdk`: NVMe driven in user space, past the kernel. A back-end process (spdk_tgt, or Debian's
 * qemu-storage-daemon) has the device; this plugin is its vhost-user-blk client: rings and I/O buffers lie in memory that
 * both share, so nothing is copied and no system call is made while both poll. See docs/nvme.md.
 */
import { loadVhostUser } from "../../../native/vhost-user/addon.ts";
import { definePlugin } from "../../../src/contracts/plugin.ts";
import { type SpdkConfig, spdkConfigSchema } from "./configuration.ts";
import { SpdkBlockDeviceProvider } from "./provider.ts";

export default definePlugin({
  kind: "block-device",
  name: "spdk",
  description: "NVMe in user space through spdk_tgt or qemu-storage-daemon (vhost-user-blk)",
  supports: ["discard"],
  configSchema: spdkConfigSchema,
  probe: () => {
    const loaded = loadVhostUser();
    return "addon" in loaded ? { available: true } : { available: false, reason: loaded.reason };
  },
  create: (config: SpdkConfig) => new SpdkBlockDeviceProvider(config),
});
