/**
 * The control half for spdk_tgt, against a fake that answers as the real one was seen to answer, and against one that does
 * not; and the whole plugin with both halves: fake RPC, real data path.
 */
import { expect, test } from "bun:test";
import { truncateSync } from "node:fs";
import { createServer } from "node:net";
import { spdkConfigSchema } from "../../plugins/block-device/spdk/configuration.ts";
import blockDeviceSpdk from "../../plugins/block-device/spdk/index.ts";
import { JsonScanner, SpdkRpc } from "../../plugins/block-device/spdk/spdk-rpc.ts";
import { SpdkTarget, type SpdkTargetOptions } from "../../plugins/block-device/spdk/spdk-target.ts";
import { QemuStorageDaemon } from "../../plugins/block-device/spdk/qemu-storage-daemon.ts";
import { realWorld } from "../../src/world/index.ts";
import { expectBytes, expectCode, inTemporaryFolder, pattern } from "../conformance/support.ts";
import { FakeRefusal, FakeSpdk } from "../fixtures/fake-spdk.ts";
import { builtAddon } from "../fixtures/vhost-user-rig.ts";

const { timers, clock } = realWorld();
const ADDRESS = "0000:81:00.0";
const NAME = "daos_0000_81_00_0";

async function withFake(
  use: (fake: FakeSpdk, make: (changes?: Partial<SpdkTargetOptions>) => SpdkTarget) => Promise<void>,
) {
  await inTemporaryFolder(async (folder) => {
    const fake = await FakeSpdk.listen(`${folder}/rpc`);
    const make = (changes: Partial<SpdkTargetOptions> = {}): SpdkTarget =>
      new SpdkTarget({
        timers,
        rpcSocket: fake.rpcSocket,
        rpcTimeoutMs: 2_000,
        kind: "nvme",
        device: ADDRESS,
        namespace: 1,
        writable: true,
        blockBytes: 4096,
        ...changes,
      });
    await use(fake, make).finally(() => fake.close());
  });
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

test("an NVMe device is attached, checked and given a controller; all is taken down in the opposite order", () =>
  withFake(async (fake, make) => {
    const target = make({ cpumask: "0x2" });
    fake.vhostSocket = "/run/vhost";
    expect(await target.start()).toBe("/run/vhost");
    const attach = fake.calls.find(({ method }) => method === "bdev_nvme_attach_controller");
    expect(attach?.params).toEqual({ name: NAME, trtype: "PCIe", traddr: ADDRESS });
    const create = fake.calls.find(({ method }) => method === "vhost_create_blk_controller");
    expect(create?.params).toEqual({ ctrlr: `${NAME}.vhost`, dev_name: `${NAME}n1`, cpumask: "0x2" });
    fake.calls.length = 0;
    await target.stop();
    expect(fake.called.slice(-2)).toEqual(["vhost_delete_controller", "bdev_nvme_detach_controller"]);
    expect([...fake.bdevs, ...fake.controllers.keys()]).toEqual([]);
  }));

test("methods without parameters are sent none", () =>
  withFake(async (fake, make) => {
    await make().start();
    expect(fake.calls.find(({ method }) => method === "spdk_get_version")?.params).toBeUndefined();
  }));

test(
  "several targets share the device, also when they come at once; the last one takes it down",
  () =>
    withFake(async (fake, make) => {
      const targets = [make(), make(), make()];
      expect(await Promise.all(targets.map((target) => target.start()))).toEqual(["/nowhere", "/nowhere", "/nowhere"]);
      fake.sessions = [{}];
      await targets[0]!.stop();
      expect(fake.controllers.size).toBe(1);
      fake.sessions = [];
      await targets[1]!.stop();
      expect(fake.controllers.size).toBe(0);
      await targets[2]!.stop();
    }),
  15_000,
);

test("a kernel block device and a read-only one", () =>
  withFake(async (fake, make) => {
    const target = make({ kind: "kdev", device: "/dev/sdx", writable: false });
    await target.start();
    const aio = fake.calls.find(({ method }) => method === "bdev_aio_create");
    expect(aio?.params).toEqual({ name: "daos_dev_sdx", filename: "/dev/sdx", block_size: 4096 });
    const create = fake.calls.find(({ method }) => method === "vhost_create_blk_controller");
    expect(create?.params).toMatchObject({ readonly: true });
    await target.stop();
    expect(fake.bdevs.size).toBe(0);
  }));

test("an attach that gives no namespace, though without an error: NOT_FOUND", () =>
  withFake(async (fake, make) => {
    fake.methods.set("bdev_nvme_attach_controller", () => []);
    await expectCode("NOT_FOUND", () => make().start());
  }));

test("a device that is not there: UNAVAILABLE says what to do", () =>
  withFake(async (fake, make) => {
    fake.methods.set("bdev_nvme_attach_controller", () => {
      throw new FakeRefusal(-19, "No such device");
    });
    await expect(make().start()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await expect(make().start()).rejects.toThrow("vfio-pci");
  }));

test("a device that an lvol store claims: UNAVAILABLE", () =>
  withFake(async (fake, make) => {
    fake.methods.set("vhost_create_blk_controller", () => {
      throw new FakeRefusal(-1, "Operation not permitted");
    });
    await expectCode("UNAVAILABLE", () => make().start());
  }));

test("answers of an unknown form: PROTOCOL", () =>
  withFake(async (fake, make) => {
    for (const wrong of [null, 7, {}, [{ ctrlr: 1 }], [{ ctrlr: `${NAME}.vhost`, socket: 5 }]]) {
      fake.methods.set("vhost_get_controllers", () => wrong);
      await expectCode("PROTOCOL", () => make().start());
    }
    fake.methods.delete("vhost_get_controllers");
    fake.methods.set("bdev_get_bdevs", () => [{ name: "x", block_size: -1 }]);
    await expectCode("PROTOCOL", () => make().start());
  }));

test("a pulled device is noticed, and set up again when it is back", () =>
  withFake(async (fake, make) => {
    const target = make();
    await target.start();
    target.doubt();
    await target.start();
    expect(target.isRemoved()).toBe(false);
    fake.bdevs.clear();
    fake.controllers.set(`${NAME}.vhost`, null);
    const refused = Promise.withResolvers<void>();
    fake.methods.set("bdev_nvme_attach_controller", () => {
      refused.resolve();
      throw new FakeRefusal(-19, "No such device");
    });
    target.doubt();
    await refused.promise;
    expect(target.isRemoved()).toBe(true);
    fake.methods.clear();
    await until(() => !target.isRemoved());
    expect(fake.controllers.get(`${NAME}.vhost`)).toBe(`${NAME}n1`);
    await target.stop();
  }));

test("a restarted spdk_tgt is set up again, however long it takes to come", () =>
  inTemporaryFolder(async (folder) => {
    let fake = await FakeSpdk.listen(`${folder}/rpc`);
    const options = { timers, rpcSocket: fake.rpcSocket, rpcTimeoutMs: 1_000, kind: "nvme", device: ADDRESS } as const;
    const target = new SpdkTarget({ ...options, namespace: 1, writable: true, blockBytes: 4096 });
    await target.start();
    fake.close();
    target.lost();
    await expectCode("UNAVAILABLE", () => new SpdkRpc(timers, `${folder}/rpc`, 1_000).call("spdk_get_version"));
    fake = await FakeSpdk.listen(`${folder}/rpc`);
    await until(() => fake.controllers.size === 1);
    await target.stop();
    fake.close();
  }));

test("taking down never rejects and never lasts for ever", () =>
  withFake(async (fake, make) => {
    const target = make({ rpcTimeoutMs: 100 });
    await target.start();
    fake.raw = () => null;
    await target.stop();
  }));

test("RPC: no answer, no JSON, another id, too much, hanging up: typed errors", () =>
  withFake(async (fake) => {
    const rpc = new SpdkRpc(timers, fake.rpcSocket, 300);
    const withAnswer = (raw: (answer: string) => string | null) => {
      fake.raw = raw;
      return () => rpc.call("spdk_get_version");
    };
    await expectCode(
      "TIMEOUT",
      withAnswer(() => null),
    );
    await expectCode(
      "TIMEOUT",
      withAnswer((answer) => answer.slice(0, -1)),
    );
    await expectCode(
      "PROTOCOL",
      withAnswer(() => "{nonsense}"),
    );
    await expectCode(
      "PROTOCOL",
      withAnswer(() => "[1,2]"),
    );
    await expectCode(
      "PROTOCOL",
      withAnswer((answer) => answer.replace(/"id":\d+/, '"id":999')),
    );
    await expectCode(
      "PROTOCOL",
      withAnswer(() => `{"x":"${"y".repeat(2 * 1024 * 1024)}`),
    );
    fake.raw = undefined;
    await expectCode("IO", () => rpc.call("no_such_method"));
    expect(await rpc.call("spdk_get_version")).toMatchObject({ fields: { major: 24 } });
  }));

test("RPC: a peer that hangs up without a word: UNAVAILABLE", () =>
  inTemporaryFolder(async (folder) => {
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(`${folder}/rpc`, resolve));
    await expectCode("UNAVAILABLE", () => new SpdkRpc(timers, `${folder}/rpc`, 1_000).call("spdk_get_version"));
    server.close();
  }));

test("JsonScanner finds the end of an object, whatever its strings hold, in any pieces", () => {
  const text = JSON.stringify({ a: '}"]\\', b: [{ c: '\\"{' }, "é}"], d: 1 });
  const bytes = Buffer.from(`${text}trailing`);
  for (let step = 1; step < 7; step += 1) {
    const scanner = new JsonScanner();
    let found: string | undefined;
    for (let at = 0; at < Buffer.byteLength(text) && found === undefined; at += step) {
      found = scanner.push(bytes.subarray(at, Math.min(at + step, Buffer.byteLength(text))));
    }
    expect(found).toBe(text);
  }
});

const whole = builtAddon() !== undefined && Bun.which("qemu-storage-daemon") !== null;

test.skipIf(!whole)(
  "the plugin through SPDK: targets that share a device have ranges of their own",
  () =>
    inTemporaryFolder(async (folder) => {
      const fake = await FakeSpdk.listen(`${folder}/rpc`);
      const addresses = [ADDRESS, "0000:82:00.0"];
      const path = `${folder}/device`;
      await Bun.write(path, "");
      truncateSync(path, 64 * 1024 * 1024);
      // Its socket takes one client at a time, so the targets come one after another.
      const daemon = new QemuStorageDaemon({
        timers,
        clock,
        program: "qemu-storage-daemon",
        deviceName: "disk",
        blockdev: { driver: "file", filename: path },
        socketPath: `${folder}/vhost`,
        queues: 1,
        blockBytes: 4096,
        writable: true,
        pollMaxNs: 0,
      });
      fake.vhostSocket = await daemon.start();
      try {
        const config = {
          bdev_list: addresses,
          hugepages: "off",
          spdk: { rpc_socket: fake.rpcSocket },
          nr_hugepages: 8,
        };
        const provider = blockDeviceSpdk.create(spdkConfigSchema.parse(config));
        const sizeBytes = 8 * 1024 * 1024;
        const open = (target: number, create: boolean) =>
          provider.open(realWorld(), { folder: `${folder}/target-${target}`, sizeBytes, create });
        for (const target of [0, 2]) {
          const device = await open(target, true);
          await device.write(0, pattern(4096, target), { durable: true });
          await device.close();
        }
        for (const target of [0, 2]) {
          const device = await open(target, false);
          const buffer = device.allocate(4096);
          await device.read(0, buffer);
          expectBytes(buffer, pattern(4096, target));
          await device.close();
        }
        expect(fake.bdevs.size).toBe(0);
      } finally {
        await daemon.stop();
        fake.close();
      }
    }),
  30_000,
);
