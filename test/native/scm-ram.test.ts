/**
 * scm `ram` over io_uring: the conformance suite on files and on a block device, and that a device which holds something
 * is left alone. Skipped, with the reason, where the addon was not built; one that was built must work.
 */
import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { uringAddon } from "../../native/uring/addon.ts";
import { FileScmProvider } from "../../plugins/scm/file/region.ts";
import { RamScmProvider } from "../../plugins/scm/ram/provider.ts";
import { realWorld } from "../../src/world/index.ts";
import { scmConformance } from "../conformance/scm.ts";
import { expectBytes, expectCode, inTemporaryFolder, isZero, pattern } from "../conformance/support.ts";

const BUILT = join(import.meta.dir, "..", "..", "native", "uring", "build", "Release", "uring.node");
const result = uringAddon();
const skipped = "reason" in result && !existsSync(BUILT) ? ` (skipped: ${result.reason})` : "";
const SIZE_BYTES = 5 * 1024 * 1024;
const PAGE = 4096;
const LOSETUP = "losetup";

const onUring = (mode: "auto" | "async"): RamScmProvider => new RamScmProvider({ mode, device: onFile() });
const onFile = (path?: string, overwrite = false) =>
  ({ plugin: "uring", config: { ...(path !== undefined && { path }), overwrite } }) as const;

describe.skipIf(skipped !== "")(`ram on uring${skipped}`, () => {
  scmConformance("ram on uring, auto", () => onUring("auto"));
  scmConformance("ram on uring, async", () => onUring("async"));
  scmConformance("ram, device by default", () => new RamScmProvider({ mode: "auto" }));

  test("persists of every size, alone and in company, are on the medium: another plugin reads them", () =>
    inTemporaryFolder(async (folder) => {
      const world = realWorld();
      const options = { folder, sizeBytes: SIZE_BYTES };
      const region = await onUring("auto").open(world, { ...options, create: true });
      const bytes = pattern(SIZE_BYTES, 1);
      region.bytes.set(bytes);
      const running: (undefined | Promise<void>)[] = [];
      let offset = 0;
      for (let pages = 1; offset < SIZE_BYTES; pages = (pages % 97) + 1) {
        const length = Math.min(pages * PAGE, SIZE_BYTES - offset);
        const pending = region.persist(offset, length);
        if (pages % 3 === 0) await pending;
        else running.push(pending);
        offset += length;
      }
      await Promise.all(running);
      const medium = readFileSync(`${folder}/scm`);
      expectBytes(medium, bytes);
      region.close();
      const asFile = await new FileScmProvider("auto").open(world, { ...options, create: false });
      expectBytes(asFile.bytes, bytes);
      asFile.close();
    }));

  test("a second region on the same file: BUSY", () =>
    inTemporaryFolder(async (folder) => {
      const world = realWorld();
      const options = { folder, sizeBytes: SIZE_BYTES };
      const region = await onUring("auto").open(world, { ...options, create: true });
      await expectCode("BUSY", () => onUring("auto").open(world, { ...options, create: false }));
      region.close();
      (await onUring("auto").open(world, { ...options, create: false })).close();
    }));

  test("a block device: zeros when formatted, refused when it holds something, erased when that is asked for", () =>
    inTemporaryFolder(async (folder) => {
      await withLoopDevice(folder, async (path) => {
        const world = realWorld();
        const open = (create: boolean, overwrite = false) =>
          new RamScmProvider({ mode: "auto", device: onFile(path, overwrite) }).open(world, {
            folder,
            sizeBytes: SIZE_BYTES,
            create,
          });
        await expectCode("ALREADY_EXISTS", () => open(true));
        (await open(true, true)).close();
        const region = await open(false);
        expect(isZero(region.bytes)).toBe(true);
        const bytes = pattern(SIZE_BYTES, 2);
        region.bytes.set(bytes);
        await region.persist(0, SIZE_BYTES);
        region.bytes[5] = bytes[5] = 77;
        await region.persist(0, PAGE);
        region.close();
        const again = await open(false);
        expectBytes(again.bytes, bytes);
        again.close();
      });
    }));
});

/** A loop device full of bytes that are none of ours. Without the right to make one the test ends with a line. */
async function withLoopDevice(folder: string, use: (path: string) => Promise<void>): Promise<void> {
  const file = openSync(`${folder}/disk`, "w");
  ftruncateSync(file, 2 * SIZE_BYTES);
  writeSync(file, pattern(SIZE_BYTES, 9));
  closeSync(file);
  const made = spawnSync(LOSETUP, ["--find", "--show", "--direct-io=on", `${folder}/disk`], { encoding: "utf8" });
  if (made.status !== 0) {
    console.log(`no loop device here: ${made.error?.message ?? made.stderr.trim()}`);
    return;
  }
  const path = made.stdout.trim();
  try {
    await use(path);
  } finally {
    spawnSync(LOSETUP, ["--detach", path]);
  }
}
