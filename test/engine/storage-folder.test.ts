import { describe, expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { GIB, MIB } from "../../src/base/limits.ts";
import type { Uuid } from "../../src/base/uuid.ts";
import { loadConfiguration, type Configuration, type ConfigurationSources } from "../../src/engine/configuration.ts";
import { choosePlugins } from "../../src/engine/plugin-choice.ts";
import {
  markReady,
  metaFolder,
  openStorageFolder,
  type OpenStorage,
  type OpenStorageOptions,
  SUPERBLOCK_FILE,
  targetFolder,
} from "../../src/engine/storage-folder.ts";
import type { SimulatedDisk } from "../simulation/disk.ts";
import { PowerLossError } from "../simulation/power-loss.ts";
import { simulatedWorld } from "../simulation/world.ts";

const STORAGE = "/data/daos";
const IDS = [1, 2, 3, 4].map((digit) => `${String(digit).repeat(8)}-2222-4333-8444-555555555555` as Uuid);
const NOW_MS = 1767323045000;

function configured(flags: Record<string, string | number> = {}): Configuration {
  const environment = { HOME: "/home/ann" };
  return onMachineWithoutAddons({ environment, cores: 3, workingFolder: "/", flags: { storage: STORAGE, ...flags } });
}

/** With the plugins that serve everywhere where nobody named one. */
function onMachineWithoutAddons(sources: ConfigurationSources): Configuration {
  const machine = {
    available: () => ["file"],
    reason: () => "not built",
    persistentMemory: [],
    hasDirectIo: () => true,
  };
  return choosePlugins(loadConfiguration(sources), { ...machine, superblock: undefined }).configuration;
}

function open(disk: SimulatedDisk, flags: Record<string, string | number> = {}): OpenStorage {
  return openStorageFolder(disk, configured(flags), options());
}

function options(format?: OpenStorageOptions["format"]): OpenStorageOptions {
  let next = 0;
  return { newId: () => IDS[next++]!, nowMs: NOW_MS, ...(format !== undefined && { format }) };
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
      id: IDS[0]!,
      system: "daos",
      state: "formatting",
      createdAtMs: NOW_MS,
      targets: 2,
      scm: { plugin: "file", targetSizeBytes: 2 * GIB },
      nvme: { plugin: "file", targetSizeBytes: 8 * GIB },
      metaStore: { plugin: "sqlite" },
      engine: IDS[1]!,
      devices: [{ id: IDS[2]!, plugin: "file", targets: [0, 1], labelled: true, state: "normal", reason: "" }],
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
      { "nvme.plugin": "spdk" },
      { "scm.size": "512MiB" },
      { "nvme.size": "17GiB" },
    ];
    expect(() => open(disk, { "meta_store.plugin": "etcd" })).toThrow(`records are in meta store "sqlite"`);
    for (const flags of wrong) {
      const [path] = Object.keys(flags);
      expect(codeOf(() => open(disk, flags))).toBe("CONFIGURATION");
      expect(() => open(disk, flags)).toThrow(`formatted with ${path!} `);
    }
    const same = { name: "daos", targets: 2, "scm.size": "4GiB", "nvme.size": "16GiB", "scm.plugin": "file" };
    expect(open(disk, same).format).toBe(false);
    // These keep the same files.
    expect(open(disk, { "scm.plugin": "ram", "nvme.plugin": "uring" }).format).toBe(false);
    const onMoreCores = onMachineWithoutAddons({
      environment: {},
      cores: 16,
      workingFolder: "/",
      flags: { storage: STORAGE },
    });
    expect(openStorageFolder(disk, onMoreCores, options()).superblock.targets).toBe(2);
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

  test("a format that must not find data refuses; forced, it begins anew and leaves what is not ours", () => {
    const { disk } = simulatedWorld(12);
    format(disk);
    expect(codeOf(() => openStorageFolder(disk, configured(), options("required")))).toBe("ALREADY_EXISTS");
    const forced = openStorageFolder(disk, configured(), options("force"));
    expect([forced.format, disk.list(STORAGE)]).toEqual([true, [SUPERBLOCK_FILE]]);
    format(disk);
    disk.corrupt(`${STORAGE}/${SUPERBLOCK_FILE}`, 40);
    expect(openStorageFolder(disk, configured(), options("force")).format).toBe(true);
    disk.openFile(`${STORAGE}/thesis.doc`, { create: true }).close();
    expect(codeOf(() => openStorageFolder(disk, configured(), options("force")))).toBe("CONFIGURATION");
    expect(disk.exists(`${STORAGE}/thesis.doc`)).toBe(true);
  });

  test("targets take several devices in turn, and their number is fixed at format", () => {
    const { disk } = simulatedWorld(13);
    const text = "targets: 3\nnvme:\n  devices:\n    - plugin: file\n      path: /mnt/a\n    - plugin: uring\n";
    const file = { path: "/etc/daos.yml", text };
    const two = loadConfiguration({ environment: {}, cores: 3, workingFolder: "/", file, flags: { storage: STORAGE } });
    const { superblock } = openStorageFolder(disk, two, options());
    expect(superblock.devices.map(({ plugin, targets }) => ({ plugin, targets }))).toEqual([
      { plugin: "file", targets: [0, 2] },
      { plugin: "uring", targets: [1] },
    ]);
    markReady(disk, STORAGE, superblock);
    expect(openStorageFolder(disk, two, options()).format).toBe(false);
    expect(() => open(disk)).toThrow("formatted with 2 NVMe device(s), 1 are configured");
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
