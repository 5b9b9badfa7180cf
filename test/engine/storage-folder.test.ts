import { describe, expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { GIB, MIB } from "../../src/base/limits.ts";
import type { Uuid } from "../../src/base/uuid.ts";
import { loadConfiguration, type Configuration } from "../../src/engine/configuration.ts";
import {
  markReady,
  metaFolder,
  openStorageFolder,
  type OpenStorage,
  SUPERBLOCK_FILE,
  targetFolder,
} from "../../src/engine/storage-folder.ts";
import type { SimulatedDisk } from "../simulation/disk.ts";
import { PowerLossError } from "../simulation/power-loss.ts";
import { simulatedWorld } from "../simulation/world.ts";

const STORAGE = "/data/daos";
const OPTIONS = { id: "11111111-2222-4333-8444-555555555555" as Uuid, nowMs: 1767323045000 };

function configured(flags: Record<string, string | number> = {}): Configuration {
  const environment = { HOME: "/home/ann" };
  return loadConfiguration({ environment, cores: 3, workingFolder: "/", flags: { storage: STORAGE, ...flags } });
}

function open(disk: SimulatedDisk, flags: Record<string, string | number> = {}): OpenStorage {
  return openStorageFolder(disk, configured(flags), OPTIONS);
}

function codeOf(work: () => unknown): string {
  try {
    work();
    return "ok";
  } catch (error) {
    if (error instanceof DaosError) return error.code;
    throw error;
  }
}

/** Formats as the engine does: superblock, parts, ready. */
function format(disk: SimulatedDisk): void {
  const opened = open(disk);
  if (!opened.format) return;
  for (const folder of [metaFolder(STORAGE), targetFolder(STORAGE, 0), targetFolder(STORAGE, 1)]) {
    disk.makeFolder(folder);
    const file = disk.openFile(`${folder}/part`, { create: true });
    file.writeSync(new Uint8Array(8), 0);
    file.syncSync();
    file.close();
  }
  markReady(disk, STORAGE, opened.superblock);
}

describe("openStorageFolder", () => {
  test("formats a folder that is not there, and opens it the next time", () => {
    const { disk } = simulatedWorld(1);
    const first = open(disk);
    expect(first.format).toBe(true);
    expect(first.superblock).toEqual({
      id: OPTIONS.id,
      system: "daos",
      state: "formatting",
      createdAtMs: OPTIONS.nowMs,
      targets: 2,
      scm: { plugin: "file", targetSizeBytes: 2 * GIB },
      nvme: { plugin: "file", targetSizeBytes: 8 * GIB },
      metaStore: { plugin: "sqlite" },
    });
    const ready = markReady(disk, STORAGE, first.superblock);
    expect(open(disk)).toEqual({ superblock: ready, format: false });
  });

  test("a folder with other things in it is left alone", () => {
    const { disk } = simulatedWorld(2);
    disk.makeFolder(STORAGE);
    disk.openFile(`${STORAGE}/thesis.doc`, { create: true }).close();
    expect(codeOf(() => open(disk))).toBe("CONFIGURATION");
    expect(() => open(disk)).toThrow("thesis.doc");
    expect(disk.list(STORAGE)).toEqual(["thesis.doc"]);
    disk.remove(`${STORAGE}/thesis.doc`);
    disk.makeFolder(`${STORAGE}/target-0`);
    expect(codeOf(() => open(disk))).toBe("CONFIGURATION");
  });

  test("a lock, a file system's own folder and a first superblock cut off do no harm", () => {
    const { disk } = simulatedWorld(3);
    disk.makeFolder(`${STORAGE}/lost+found`);
    for (const name of ["lock", "superblock.new"]) disk.openFile(`${STORAGE}/${name}`, { create: true }).close();
    expect(open(disk).format).toBe(true);
    expect(disk.list(STORAGE)).toEqual(["lock", "lost+found", SUPERBLOCK_FILE]);
  });

  test("a format that was cut off begins anew with nothing left over", () => {
    const { disk } = simulatedWorld(4);
    open(disk);
    disk.makeFolder(targetFolder(STORAGE, 0));
    disk.openFile(`${targetFolder(STORAGE, 0)}/scm`, { create: true }).close();
    const again = open(disk, { targets: 1, "scm.size": "64MiB" });
    expect([again.format, again.superblock.targets, again.superblock.scm.targetSizeBytes]).toEqual([true, 1, 64 * MIB]);
    expect(disk.list(STORAGE)).toEqual([SUPERBLOCK_FILE]);
    disk.openFile(`${STORAGE}/thesis.doc`, { create: true }).close();
    expect(codeOf(() => open(disk))).toBe("CONFIGURATION");
  });

  test("what was fixed at format and is configured otherwise is refused; defaults need not agree", () => {
    const { disk } = simulatedWorld(5);
    format(disk);
    const wrong: readonly Record<string, string | number>[] = [
      { name: "other" },
      { targets: 1 },
      { "scm.plugin": "pmdk" },
      { "nvme.plugin": "uring" },
      { "meta_store.plugin": "etcd" },
      { "scm.size": "512MiB" },
      { "nvme.size": "17GiB" },
    ];
    for (const flags of wrong) {
      const [path] = Object.keys(flags);
      expect(codeOf(() => open(disk, flags))).toBe("CONFIGURATION");
      expect(() => open(disk, flags)).toThrow(`formatted with ${path!} `);
    }
    const same = { name: "daos", targets: 2, "scm.size": "4GiB", "nvme.size": "16GiB", "scm.plugin": "file" };
    expect(open(disk, same).format).toBe(false);
    const onMoreCores = loadConfiguration({
      environment: {},
      cores: 16,
      workingFolder: "/",
      flags: { storage: STORAGE },
    });
    expect(openStorageFolder(disk, onMoreCores, OPTIONS).superblock.targets).toBe(2);
  });

  test("a default size never promises more than is free, a given one is the user's", () => {
    const small = simulatedWorld(6, { disk: { capacityBytes: 2 * GIB } }).disk;
    const { superblock } = open(small);
    expect(superblock.scm.targetSizeBytes).toBe(204 * MIB);
    expect(superblock.nvme.targetSizeBytes).toBe(614 * MIB);
    const halfGiven = simulatedWorld(10, { disk: { capacityBytes: 2 * GIB } }).disk;
    expect(open(halfGiven, { "scm.size": "1GiB" }).superblock.nvme.targetSizeBytes).toBe(307 * MIB);
    const given = simulatedWorld(7, { disk: { capacityBytes: 2 * GIB } }).disk;
    expect(open(given, { "nvme.size": "4GiB" }).superblock.nvme.targetSizeBytes).toBe(2 * GIB);
    const tiny = simulatedWorld(8, { disk: { capacityBytes: 150 * MIB } }).disk;
    expect(codeOf(() => open(tiny))).toBe("NO_SPACE");
    expect(tiny.exists(`${STORAGE}/${SUPERBLOCK_FILE}`)).toBe(false);
  });

  test("a damaged superblock is CORRUPT, not an empty folder", () => {
    const { disk } = simulatedWorld(9);
    format(disk);
    disk.corrupt(`${STORAGE}/${SUPERBLOCK_FILE}`, 40);
    expect(codeOf(() => open(disk))).toBe("CORRUPT");
  });

  test("what was written is durable when the call returns", () => {
    const { disk } = simulatedWorld(11);
    const { superblock } = open(disk);
    disk.crash("lost");
    expect(open(disk).format).toBe(true);
    markReady(disk, STORAGE, superblock);
    disk.crash("lost");
    expect(open(disk)).toEqual({ superblock: { ...superblock, state: "ready" }, format: false });
  });

  test("power lost at any write of a format: the folder is formatted anew or ready, never refused", () => {
    let survived = 0;
    for (let seed = 1; seed <= 20; seed += 1) {
      for (let operation = 1; ; operation += 1) {
        const { disk } = simulatedWorld(seed * 1000 + operation);
        disk.losePowerAt(operation);
        let cut = false;
        try {
          format(disk);
        } catch (error) {
          if (!(error instanceof PowerLossError)) throw error;
          cut = true;
        }
        if (!cut) break;
        disk.restorePower();
        format(disk);
        expect(open(disk).superblock.state).toBe("ready");
        expect(disk.list(STORAGE)).toEqual(["meta", SUPERBLOCK_FILE, "target-0", "target-1"]);
        survived += 1;
      }
    }
    expect(survived).toBeGreaterThan(100);
  });
});
