/**
 * The sample foreign plugin, as a test author would check it, and as the server loads it.
 */
import { expect, test } from "bun:test";
import { BUILT_IN_PLUGINS } from "../../plugins/registry.ts";
import { loadPlugins } from "../../src/engine/plugin-loader.ts";
import { moduleImporter, realWorld } from "../../src/world/index.ts";
import { blockDeviceConformance } from "../conformance/block-device.ts";
import { expectBytes, expectCode, inTemporaryFolder, pattern } from "../conformance/support.ts";
import splitFile from "../fixtures/foreign-plugin/index.ts";

const REFERENCE = "./test/fixtures/foreign-plugin/index.ts";
const ROOT = `${import.meta.dir}/../..`;

blockDeviceConformance("split-file (foreign)", () => splitFile.create({ files: 3 }), { worldDisk: true });

function load(references: readonly string[]) {
  const { timers } = realWorld();
  return loadPlugins({ builtIn: BUILT_IN_PLUGINS, references, importModule: moduleImporter(ROOT), timers });
}

test("it is loaded by path, listed, configured and used beside the built-in ones", () =>
  inTemporaryFolder(async (folder) => {
    const registry = await load([REFERENCE]);
    expect(registry.list().find((plugin) => plugin.name === "split-file")).toMatchObject({
      kind: "block-device",
      origin: REFERENCE,
      state: "available",
    });
    const provider = await registry.provider("block-device", "split-file", { files: 4 });
    const device = await provider.open(realWorld(), { folder, sizeBytes: 1024 * 1024, create: true });
    await device.write(0, pattern(1024 * 1024, 1), { durable: true });
    const buffer = device.allocate(1024 * 1024);
    await device.read(0, buffer);
    expectBytes(buffer, pattern(1024 * 1024, 1));
    expect(device.sizeBytes).toBe(1024 * 1024);
    await device.close();
    expect(registry.list().find((plugin) => plugin.name === "split-file")?.state).toBe("in use");
  }));

test("its errors arrive as errors of the table", async () => {
  const registry = await load([REFERENCE]);
  const provider = await registry.provider("block-device", "split-file");
  const options = { folder: "/nowhere", sizeBytes: 5, create: false };
  const error: unknown = await provider.open(realWorld(), options).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ name: "DaosError", code: "INVALID_ARGUMENT", wireCode: 1 });
});

test("its configuration is checked: CONFIGURATION names the key", async () => {
  const registry = await load([REFERENCE]);
  const provider = registry.provider("block-device", "split-file", { files: 99 });
  await expect(provider).rejects.toThrow(/"split-file": files: expected a whole number from 1 to 16/);
  await expectCode("CONFIGURATION", () => registry.provider("block-device", "split-file", { fields: 1 }));
});
