import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { loadPmdkAddon } from "../../../native/pmdk/addon.ts";
import scmPmdk from "../../../plugins/scm/pmdk/index.ts";
import { PmdkScmProvider } from "../../../plugins/scm/pmdk/provider.ts";
import { pmdkSettings } from "../../../plugins/scm/pmdk/settings.ts";
import { DaosError } from "../../../src/base/errors.ts";
import { MIB } from "../../../src/base/limits.ts";
import type { ScmRegion } from "../../../src/contracts/scm.ts";
import { realWorld } from "../../../src/world/index.ts";
import type { ScmMachine } from "../../conformance/scm-faults.ts";
import { scmConformance } from "../../conformance/scm.ts";
import { expectCode, inTemporaryFolder } from "../../conformance/support.ts";
import { PersistentMemory } from "../../fixtures/persistent-memory.ts";
import { simulatedWorld } from "../../simulation/world.ts";

const FORCED = { force_granularity: "cache_line" };
const addon = loadPmdkAddon();
const missing = "reason" in addon;
if (missing) console.error(`skipped, native: ${addon.reason}`);

function provider(settings: Record<string, unknown>): PmdkScmProvider {
  return scmPmdk.create(pmdkSettings.parse(settings)) as PmdkScmProvider;
}

/** A device of a machine that loses power. */
function deviceMachine(seed: number): ScmMachine {
  const world = simulatedWorld(seed);
  const memory = new PersistentMemory();
  const device = memory.add("/dev/dax0.0", 2 * MIB);
  // Losing power is orderly here: no module reports an unsafe shutdown.
  if (seed % 2 === 0) device.unsafeShutdowns = undefined;
  const below = (limit: number): number => world.random.below(limit);
  return {
    world,
    provider: new PmdkScmProvider(memory, pmdkSettings.parse({ path: "/dev/dax0.0" })),
    below,
    losePower: () => device.losePower(below),
    failWrite: () => {
      memory.nextFailure = "EIO";
    },
  };
}

if (missing) {
  test.skipIf(true)(`native conformance: ${addon.reason}`, () => {});
} else {
  scmConformance("pmdk, forced", () => provider(FORCED), { machine: deviceMachine });
  scmConformance("pmdk, byte", () => provider({ force_granularity: "byte", require: "byte" }));
  scmConformance("pmdk, page", () => provider({ require: "page" }));
}

const nativeTest = test.skipIf(missing);
const SIZE_BYTES = MIB;

function open(
  folder: string,
  settings: Record<string, unknown>,
  create: boolean,
  target = "target",
): Promise<ScmRegion> {
  return provider(settings).open(realWorld(), { folder: `${folder}/${target}`, sizeBytes: SIZE_BYTES, create });
}

async function messageOf(opening: Promise<ScmRegion>): Promise<string> {
  const error = await opening.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(DaosError);
  return (error as DaosError).message;
}

nativeTest("an ordinary file is refused unless pages are enough, and nothing is left behind", () =>
  inTemporaryFolder(async (folder) => {
    await expectCode("CONFIGURATION", () => open(folder, {}, true));
    expect(await messageOf(open(folder, {}, true))).toContain('page granularity and "require: cache_line"');
    expect(await messageOf(open(folder, { ...FORCED, require: "byte" }, true))).toContain("cache_line granularity");
    expect(readdirSync(`${folder}/target`)).toEqual([]);
    const region = await open(folder, { require: "page" }, true);
    expect(region.granularityBytes).toBe(4096);
    expect(region.notices?.join()).toContain("page granularity");
    region.close();
    await expectCode("CONFIGURATION", () => open(folder, {}, false));
  }),
);

nativeTest("a region formatted with cache lines does not open by pages; the other way round it keeps its pages", () =>
  inTemporaryFolder(async (folder) => {
    const fine = await open(folder, FORCED, true);
    expect(fine.granularityBytes).toBe(64);
    expect(fine.notices?.join()).toContain("pretends");
    fine.close();
    expect(await messageOf(open(folder, { require: "page" }, false))).toContain("formatted with persists of 64 bytes");
    const coarse = await open(folder, { require: "page" }, true);
    coarse.bytes[4096] = 1;
    await coarse.persist(4096, 4096);
    coarse.close();
    const again = await open(folder, FORCED, false);
    expect(again.granularityBytes).toBe(4096);
    expect(again.bytes[4096]).toBe(1);
    await expectCode("INVALID_ARGUMENT", () => again.persist(0, 64));
    again.close();
  }),
);

nativeTest("a path that is a file or a device of another kind: CONFIGURATION; a device that is absent: NOT_FOUND", () =>
  inTemporaryFolder(async (folder) => {
    writeFileSync(`${folder}/file`, "x");
    const wrong: [string | string[], string][] = [
      [`${folder}/file`, "it is a file"],
      ["/dev/null", "no devdax device"],
      [[folder, `${folder}/other`], "not all are devdax"],
    ];
    for (const [path, state] of wrong) {
      await expectCode("CONFIGURATION", () => open(folder, { path }, true));
      expect(await messageOf(open(folder, { path }, true))).toContain(state);
    }
    await expectCode("NOT_FOUND", () => open(folder, { path: "/dev/dax99.7" }, true));
  }),
);

nativeTest("a region that is open is not opened again: BUSY, also by another thread of the process", () =>
  inTemporaryFolder(async (folder) => {
    const region = await open(folder, FORCED, true);
    await expectCode("BUSY", () => open(folder, FORCED, false));
    region.close();
    (await open(folder, FORCED, false)).close();
  }),
);

nativeTest("regions of several targets share a folder", () =>
  inTemporaryFolder(async (folder) => {
    const settings = { ...FORCED, path: `${folder}/pmem` };
    const first = await open(folder, settings, true, "a");
    const second = await open(folder, settings, true, "b");
    first.bytes.fill(1);
    await first.persist(0, SIZE_BYTES);
    expect(second.bytes[0]).toBe(0);
    expect(readdirSync(`${folder}/pmem`)).toHaveLength(2);
    first.close();
    second.close();
  }),
);

nativeTest("a damaged header: CORRUPT while one copy is left it opens; a folder in the file's place is an error", () =>
  inTemporaryFolder(async (folder) => {
    const world = realWorld();
    (await open(folder, FORCED, true)).close();
    const file = world.disk.openFile(`${folder}/target/scm`);
    const original = new Uint8Array(4096);
    file.readSync(original, 0);
    file.writeSync(original, 4096);
    file.writeSync(new Uint8Array(8).fill(0xee), 100);
    (await open(folder, FORCED, false)).close();
    file.writeSync(new Uint8Array(8).fill(0xee), 4096 + 300);
    await expectCode("CORRUPT", () => open(folder, FORCED, false));
    await expectCode("CORRUPT", () => open(folder, { require: "page" }, false));
    file.close();
    world.disk.remove(`${folder}/target/scm`);
    mkdirSync(`${folder}/target/scm`);
    await open(folder, FORCED, false).then(
      () => expect.unreachable(),
      (error) => expect(["IO", "CORRUPT"]).toContain(error.code),
    );
  }),
);

test("the configuration refuses unknown keys and granularities", async () => {
  const validate = (config: unknown) => scmPmdk.configSchema["~standard"].validate(config);
  expect((await validate({})).issues).toBeUndefined();
  expect((await validate({ path: ["/dev/dax0.0", "/dev/dax1.0"], require: "byte" })).issues).toBeUndefined();
  expect((await validate({ require: "line" })).issues).toHaveLength(1);
  expect((await validate({ path: [] })).issues).toHaveLength(1);
  expect((await validate({ force: "byte" })).issues).toHaveLength(1);
});
