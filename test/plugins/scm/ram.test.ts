import { expect, test } from "bun:test";
import { FileScmProvider } from "../../../plugins/scm/file/region.ts";
import scmRam from "../../../plugins/scm/ram/index.ts";
import { PathChoice } from "../../../plugins/scm/ram/path-choice.ts";
import { RamScmProvider } from "../../../plugins/scm/ram/provider.ts";
import { RamScmRegion } from "../../../plugins/scm/ram/region.ts";
import type { BlockDevice } from "../../../src/contracts/block-device.ts";
import { realWorld } from "../../../src/world/index.ts";
import { scmConformance } from "../../conformance/scm.ts";
import { expectBytes, expectCode, inTemporaryFolder, pattern } from "../../conformance/support.ts";
import { simulatedWorld } from "../../simulation/world.ts";

const onFile = (mode: "auto" | "sync" | "async"): RamScmProvider =>
  new RamScmProvider({ mode, device: { plugin: "file" } });

scmConformance("ram on a file, auto", () => onFile("auto"), { worldDisk: true });
scmConformance("ram on a file, sync", () => onFile("sync"), { worldDisk: true });
scmConformance("ram on a file, async", () => onFile("async"), { worldDisk: true });

const SIZE_BYTES = 1024 * 1024;
const PAGE = 4096;
const OPEN = { folder: "/t", sizeBytes: SIZE_BYTES, create: true };

test("a persist that is alone blocks; one over 256 KiB, and one in company, does not", async () => {
  const region = await onFile("auto").open(simulatedWorld(1), OPEN);
  expect(region.persist(0, PAGE)).toBeUndefined();
  expect(region.persist(PAGE, PAGE)).toBeUndefined();
  expect(region.persist(0, 64 * PAGE)).toBeUndefined();
  const large = region.persist(0, 65 * PAGE);
  expect(large).toBeInstanceOf(Promise);
  const inCompany = region.persist(65 * PAGE, PAGE);
  expect(inCompany).toBeInstanceOf(Promise);
  await Promise.all([large, inCompany]);
  expect(region.persist(0, PAGE)).toBeUndefined();
  region.close();
});

test("a slow medium does not block the thread", async () => {
  const world = simulatedWorld(1, { disk: { latencyNs: [3_000_000, 3_100_000] } });
  const region = await onFile("auto").open(world, OPEN);
  let blocking = 0;
  for (let round = 0; round < 200; round += 1) {
    const pending = region.persist(0, PAGE);
    if (pending === undefined) blocking += 1;
    else await pending;
  }
  expect(blocking).toBeLessThan(10);
  region.close();
});

test("a range whose write succeeded beside one that failed is not taken for durable", async () => {
  const { device, answer } = scriptedDevice();
  const parts = { bytes: new Uint8Array(new SharedArrayBuffer(SIZE_BYTES)), device, file: undefined, path: "/t/scm" };
  const region = new RamScmRegion({ ...parts, mode: "auto", notices: [] }, simulatedWorld(1).clock);
  const first = region.persist(0, PAGE);
  const second = region.persist(PAGE, PAGE);
  answer(0, new Error("gone"));
  await expectCode("IO", () => first);
  answer(1);
  await expectCode("IO", () => second);
  await expectCode("IO", () => region.persist(2 * PAGE, PAGE));
});

test("closing has ended when the device has closed", async () => {
  const end = Promise.withResolvers<void>();
  const device = { close: () => end.promise } as unknown as BlockDevice;
  const parts = { bytes: new Uint8Array(new SharedArrayBuffer(SIZE_BYTES)), device, file: undefined, path: "/t/scm" };
  const region = new RamScmRegion({ ...parts, mode: "auto", notices: [] }, simulatedWorld(1).clock);
  region.close();
  let isClosed = false;
  const closing = region.closing().then(() => (isClosed = true));
  await Promise.resolve();
  expect(isClosed).toBe(false);
  end.resolve();
  await closing;
  expect(isClosed).toBe(true);
});

/** A device whose writes wait for `answer`. */
function scriptedDevice(): { device: BlockDevice; answer: (write: number, error?: Error) => void } {
  const writes: PromiseWithResolvers<void>[] = [];
  const device = {
    write: () => {
      const write = Promise.withResolvers<void>();
      writes.push(write);
      return write.promise;
    },
  } as unknown as BlockDevice;
  const answer = (write: number, error?: Error): void =>
    error === undefined ? writes[write]!.resolve() : writes[write]!.reject(error);
  return { device, answer };
}

test("the quicker way is taken, the other one tried now and then, and a change is noticed", () => {
  const choice = new PathChoice();
  const tookNs: [number, number] = [1_000_000, 100_000];
  const counts = (rounds: number): [number, number] => {
    const taken: [number, number] = [0, 0];
    for (let round = 0; round < rounds; round += 1) {
      const path = choice.pick();
      taken[path] += 1;
      choice.finished(path, tookNs[path]);
    }
    return taken;
  };
  const [slow, quick] = counts(1280);
  expect(slow).toBeWithin(10, 13);
  expect(quick).toBeGreaterThan(1260);
  tookNs[0] = 10_000;
  counts(1280 * 3);
  expect(counts(1280)[0]).toBeGreaterThan(1260);
});

test("scm file opens the file of a region of ram, and the other way round", () =>
  inTemporaryFolder(async (folder) => {
    const world = realWorld();
    const options = { folder, sizeBytes: 5 * SIZE_BYTES + PAGE };
    const bytes = pattern(options.sizeBytes, 1).fill(0, SIZE_BYTES, 3 * SIZE_BYTES);
    const made = await onFile("auto").open(world, { ...options, create: true });
    made.bytes.set(bytes);
    await made.persist(0, bytes.length);
    made.close();
    const asFile = await new FileScmProvider("auto").open(world, { ...options, create: false });
    expectBytes(asFile.bytes, bytes);
    expect(asFile.granularityBytes).toBe(made.granularityBytes);
    asFile.bytes[7] = bytes[7] = 200;
    await asFile.persist(0, PAGE);
    asFile.close();
    const again = await onFile("auto").open(world, { ...options, create: false });
    expectBytes(again.bytes, bytes);
    again.close();
  }));

test("a configured folder holds the regions of several targets apart", () =>
  inTemporaryFolder(async (folder) => {
    const world = realWorld();
    const provider = new RamScmProvider({ mode: "auto", path: `${folder}/fast`, device: { plugin: "file" } });
    const first = await provider.open(world, { folder: `${folder}/a`, sizeBytes: SIZE_BYTES, create: true });
    const second = await provider.open(world, { folder: `${folder}/b`, sizeBytes: SIZE_BYTES, create: true });
    expect(world.disk.list(`${folder}/fast`)).toHaveLength(2);
    first.close();
    second.close();
  }));

test("the configuration refuses what does not fit together", async () => {
  const issues = async (config: unknown): Promise<number> =>
    (await scmRam.configSchema["~standard"].validate(config)).issues?.length ?? 0;
  expect(await issues({})).toBe(0);
  expect(await issues({ path: "/fast", device: { plugin: "uring" } })).toBe(0);
  expect(await issues({ device: { plugin: "uring", config: { path: "/dev/nvme0n1" } } })).toBe(0);
  expect(await issues({ device: { plugin: "spdk", config: { bdev_list: ["0000:81:00.0"] } } })).toBe(0);
  expect(await issues({ device: { plugin: "spdk", config: {} } })).toBeGreaterThan(0);
  expect(await issues({ device: { plugin: "floppy" } })).toBeGreaterThan(0);
  expect(await issues({ device: { plugin: "file", config: { path: "/x" } } })).toBeGreaterThan(0);
  expect(await issues({ path: "/x", device: { plugin: "uring", config: { path: "/y" } } })).toBe(1);
  expect(await issues({ moode: "sync" })).toBeGreaterThan(0);
});
