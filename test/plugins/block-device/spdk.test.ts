import { expect, test } from "bun:test";
import blockDeviceSpdk from "../../../plugins/block-device/spdk/index.ts";
import { spdkConfigSchema } from "../../../plugins/block-device/spdk/configuration.ts";
import { realWorld } from "../../../src/world/index.ts";
import { blockDeviceConformance } from "../../conformance/block-device.ts";
import { expectBytes, expectCode, inTemporaryFolder, pattern } from "../../conformance/support.ts";
import { builtAddon } from "../../fixtures/vhost-user-rig.ts";

const FILE = { class: "file", back_end: "qemu-storage-daemon", hugepages: "off", nr_hugepages: 8 } as const;
const SIZE_BYTES = 4 * 1024 * 1024;
/** The provider for a file behind qemu-storage-daemon, with these settings changed. */
const provider = (changes: Readonly<Record<string, unknown>> = {}) =>
  blockDeviceSpdk.create(spdkConfigSchema.parse({ ...FILE, ...changes }));
const built = builtAddon() !== undefined && Bun.which("qemu-storage-daemon") !== null;
if (!built) console.warn("skipped: block-device spdk needs its addon and qemu-storage-daemon (qemu-system-common)");

if (built) {
  blockDeviceConformance("spdk on a file behind qemu-storage-daemon", () => provider());
  blockDeviceConformance("spdk, few slots, small memory, always asleep", () =>
    provider({ queue_depth: 8, nr_hugepages: 4, poll_us: 0, queues: 2 }),
  );
}

test.skipIf(!built)("another target's device is not taken, and none that holds something is overwritten unasked", () =>
  inTemporaryFolder(async (folder) => {
    const world = realWorld();
    const [one, other] = [`${folder}/one`, `${folder}/other`];
    const open = (home: string, create: boolean, changes = {}) =>
      provider(changes).open(world, { folder: home, sizeBytes: SIZE_BYTES, create });
    for (const home of [one, other]) await (await open(home, true)).close();
    const swapped = await Bun.file(`${other}/nvme.data`).bytes();
    await Bun.write(`${one}/nvme.data`, swapped);
    await expectCode("CORRUPT", () => open(one, false));

    // A back-end that somebody else runs serves that other target's data.
    const existing = { class: "file", back_end: "socket", socket: `${folder}/kept/nvme.sock`, hugepages: "off" };
    const holder = await open(`${folder}/kept`, true);
    await holder.write(0, pattern(4096, 1), { durable: true });
    await holder.close();
    const { QemuStorageDaemon } = await import("../../../plugins/block-device/spdk/qemu-storage-daemon.ts");
    const daemon = new QemuStorageDaemon({
      timers: world.timers,
      clock: world.clock,
      program: "qemu-storage-daemon",
      deviceName: "kept",
      blockdev: { driver: "file", filename: `${folder}/kept/nvme.data` },
      socketPath: `${folder}/kept/nvme.sock`,
      queues: 1,
      blockBytes: 4096,
      writable: true,
      pollMaxNs: 0,
    });
    await daemon.start();
    try {
      const attach = (changes = {}) => blockDeviceSpdk.create(spdkConfigSchema.parse({ ...existing, ...changes }));
      const fresh = { folder: `${folder}/fresh`, sizeBytes: SIZE_BYTES, create: true };
      await expectCode("ALREADY_EXISTS", () => attach().open(world, fresh));
      const again = await attach().open(world, { ...fresh, folder: `${folder}/kept`, create: false });
      const buffer = again.allocate(4096);
      await again.read(0, buffer);
      expectBytes(buffer, pattern(4096, 1));
      await again.close();
      await (await attach({ overwrite: true }).open(world, fresh)).close();
      await expectCode("CORRUPT", () => attach().open(world, { ...fresh, folder: `${folder}/kept`, create: false }));
    } finally {
      await daemon.stop();
    }
  }),
);

test.skipIf(!built)("a device that is too small: NO_SPACE, and the back-end is taken down", () =>
  inTemporaryFolder(async (folder) => {
    const world = realWorld();
    const home = { folder: `${folder}/target-1`, sizeBytes: SIZE_BYTES, create: true };
    const path = `${folder}/small`;
    await Bun.write(path, new Uint8Array(2 * 1024 * 1024));
    const kdev = { class: "kdev", bdev_list: [path] };
    // A file is no block device for the daemon, which says so.
    await expectCode("UNAVAILABLE", () => provider(kdev).open(world, home));
    expect(await Array.fromAsync(new Bun.Glob("**/*.pid").scan(folder))).toEqual([]);
  }),
);

test.skipIf(!built)("a program that is not there: UNAVAILABLE names the package", () =>
  inTemporaryFolder(async (folder) => {
    const missing = provider({ qemu_storage_daemon: { program: "no-such-daemon" } });
    const opening = missing.open(realWorld(), { folder, sizeBytes: SIZE_BYTES, create: true });
    await expect(opening).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await expect(opening).rejects.toThrow("qemu-system-common");
  }),
);

test.skipIf(!built)("no huge pages where they are required: NO_SPACE says how to get them", () =>
  inTemporaryFolder(async (folder) => {
    // More than any machine of a test has reserved.
    const greedy = provider({ hugepages: "require", nr_hugepages: 16_384 });
    const opening = greedy.open(realWorld(), { folder, sizeBytes: SIZE_BYTES, create: true });
    await expect(opening).rejects.toMatchObject({ code: "NO_SPACE" });
    await expect(opening).rejects.toThrow("vm.nr_hugepages");
  }),
);

test.skipIf(!built)("a read-only device serves reads and refuses writes: READ_ONLY", () =>
  inTemporaryFolder(async (folder) => {
    const world = realWorld();
    const home = { folder, sizeBytes: SIZE_BYTES };
    const writable = await provider().open(world, { ...home, create: true });
    await writable.write(4096, pattern(4096, 3), { durable: true });
    await writable.close();
    const device = await provider({ read_only: true }).open(world, { ...home, create: false });
    const buffer = new Uint8Array(4096);
    await device.read(4096, buffer);
    expectBytes(buffer, pattern(4096, 3));
    await expectCode("READ_ONLY", () => device.write(4096, buffer, { durable: false }));
    expect(device.health().state).toBe("normal");
    await device.close();
    await expectCode("READ_ONLY", () => provider({ read_only: true }).open(world, { ...home, create: true }));
  }),
);
