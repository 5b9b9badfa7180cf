import { expect, test } from "bun:test";
import scmFile from "../../../plugins/scm/file/index.ts";
import { FileScmProvider } from "../../../plugins/scm/file/region.ts";
import { realWorld } from "../../../src/world/index.ts";
import { scmConformance } from "../../conformance/scm.ts";
import { expectBytes, inTemporaryFolder, pattern } from "../../conformance/support.ts";
import { simulatedWorld } from "../../simulation/world.ts";

scmConformance("file, auto", () => scmFile.create({ mode: "auto" }), { worldDisk: true });
scmConformance("file, sync", () => scmFile.create({ mode: "sync" }), { worldDisk: true });
scmConformance("file, async", () => scmFile.create({ mode: "async" }), { worldDisk: true });

const SIZE_BYTES = 1024 * 1024;

test("a quick medium is written from the thread, a slow one through the pool, and the change back is noticed", async () => {
  const slow: [number, number] = [50_000, 60_000];
  const world = simulatedWorld(1, { disk: { latencyNs: slow } });
  const region = await new FileScmProvider("auto").open(world, { folder: "/t", sizeBytes: SIZE_BYTES, create: true });
  expect(region.persist(0, 4096)).toBeUndefined();
  slow[0] = 3_000_000;
  slow[1] = 3_100_000;
  let blocking = 0;
  for (let round = 0; round < 200; round += 1) {
    const pending = region.persist(0, 4096);
    if (pending === undefined) blocking += 1;
    else await pending;
  }
  expect(blocking).toBeLessThan(10);
  slow[0] = 50_000;
  slow[1] = 60_000;
  for (let round = 0; round < 300; round += 1) await region.persist(0, 4096);
  expect(region.persist(0, 4096)).toBeUndefined();
  region.close();
});

test("one hiccup does not make a quick medium slow", async () => {
  const latencyNs: [number, number] = [100_000, 110_000];
  const world = simulatedWorld(1, { disk: { latencyNs } });
  const region = await new FileScmProvider("auto").open(world, { folder: "/t", sizeBytes: SIZE_BYTES, create: true });
  for (let round = 0; round < 20; round += 1) expect(region.persist(0, 4096)).toBeUndefined();
  latencyNs[0] = latencyNs[1] = 50_000_000;
  expect(region.persist(0, 4096)).toBeUndefined();
  latencyNs[0] = latencyNs[1] = 100_000;
  expect(region.persist(0, 4096)).toBeUndefined();
  region.close();
});

test("persists over 256 KiB do not block the thread in auto mode", async () => {
  const world = simulatedWorld(1);
  const region = await new FileScmProvider("auto").open(world, { folder: "/t", sizeBytes: SIZE_BYTES, create: true });
  const pending = region.persist(0, SIZE_BYTES);
  expect(pending).toBeInstanceOf(Promise);
  await pending;
  region.close();
});

test("a region larger than one step of loading comes back whole", () =>
  inTemporaryFolder(async (folder) => {
    const world = realWorld();
    const options = { folder, sizeBytes: 9 * SIZE_BYTES + 4096 };
    const region = await new FileScmProvider("auto").open(world, { ...options, create: true });
    const bytes = pattern(options.sizeBytes, 1).fill(0, 3 * SIZE_BYTES, 5 * SIZE_BYTES);
    region.bytes.set(bytes);
    await region.persist(0, bytes.length);
    region.close();
    const again = await new FileScmProvider("auto").open(world, { ...options, create: false });
    expectBytes(again.bytes, bytes);
    again.close();
  }));

test("a configured folder holds the regions of several targets apart", () =>
  inTemporaryFolder(async (folder) => {
    const world = realWorld();
    const provider = scmFile.create({ mode: "auto", path: `${folder}/fast` });
    const first = await provider.open(world, { folder: `${folder}/a`, sizeBytes: SIZE_BYTES, create: true });
    const second = await provider.open(world, { folder: `${folder}/b`, sizeBytes: SIZE_BYTES, create: true });
    expect(world.disk.list(`${folder}/fast`)).toHaveLength(2);
    first.bytes.fill(1);
    await first.persist(0, SIZE_BYTES);
    second.close();
    const again = await provider.open(world, { folder: `${folder}/b`, sizeBytes: SIZE_BYTES, create: false });
    expect(again.bytes[0]).toBe(0);
    first.close();
    again.close();
  }));

test("the configuration refuses unknown keys and modes", async () => {
  const validate = (config: unknown) => scmFile.configSchema["~standard"].validate(config);
  expect((await validate({})).issues).toBeUndefined();
  expect((await validate({ mode: "fast" })).issues).toHaveLength(1);
  expect((await validate({ moode: "sync" })).issues).toHaveLength(1);
});
