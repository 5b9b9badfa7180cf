import { describe, expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { loadConfiguration, type Configuration } from "../../src/engine/configuration.ts";
import {
  type ChoiceSources,
  choosePlugins,
  isInterchangeable,
  type MemoryNamespace,
} from "../../src/engine/plugin-choice.ts";
import type { StorageSuperblock } from "../../src/format/storage-superblock.ts";

const DAX: MemoryNamespace = { mode: "fsdax", device: "/dev/pmem0", mount: { folder: "/mnt/pmem0", dax: true } };
const DEVDAX: MemoryNamespace = { mode: "devdax", device: "/dev/dax0.0" };
const ALL = { scm: ["file", "pmdk", "ram"], "block-device": ["file", "uring", "spdk"] };

function configured(text = ""): Configuration {
  const environment = { HOME: "/home/ann" };
  const file = { text, path: "/etc/daos/server.yml" };
  return loadConfiguration({ environment, cores: 3, workingFolder: "/", file });
}

interface Machine {
  readonly missing?: readonly string[];
  readonly memory?: readonly MemoryNamespace[];
  readonly directIo?: boolean;
  readonly formatted?: { scm: string; nvme: string; config?: Record<string, unknown> };
}

function sourcesOf({ missing = [], memory = [], directIo = true, formatted }: Machine): ChoiceSources {
  const superblock = formatted && {
    scm: { plugin: formatted.scm, targetSizeBytes: 1, ...(formatted.config && { config: formatted.config }) },
    devices: [{ plugin: formatted.nvme }],
  };
  return {
    superblock: superblock as unknown as StorageSuperblock | undefined,
    available: (kind) => ALL[kind].filter((name) => !missing.includes(name)),
    reason: (_kind, name) => (missing.includes(name) ? `install lib${name}-dev` : ""),
    persistentMemory: memory,
    hasDirectIo: () => directIo,
  };
}

/** Names of what is chosen, the settings of the scm plugin, and the line about it. */
function chosen(text: string, machine: Machine): { names: string; config: unknown; notice: string } {
  const { configuration, notice } = choosePlugins(configured(text), sourcesOf(machine));
  const { scm, nvme } = configuration;
  expect(nvme.devices.map(({ plugin }) => plugin)).toContain(nvme.plugin);
  return { names: `${scm.plugin} ${nvme.plugin}`, config: scm.config, notice };
}

describe("at format", () => {
  const cases: readonly [string, Machine, string, string][] = [
    ["nothing is missing", {}, "ram uring", "no persistent memory here; memory, its log on a file"],
    ["no addon", { missing: ["uring", "pmdk"] }, "file file", "not through io_uring: install liburing-dev"],
    ["a file system without direct I/O", { directIo: false }, "file file", "has no direct I/O"],
    ["a DAX file system", { memory: [DEVDAX, DAX] }, "pmdk uring", "persistent memory at /mnt/pmem0"],
    ["devdax devices", { memory: [DEVDAX] }, "pmdk uring", "persistent memory at /dev/dax0.0"],
    ["memory without its plugin", { memory: [DAX], missing: ["pmdk"] }, "ram uring", "the plugin for its persistent"],
    [
      "a mount without DAX",
      { memory: [{ ...DAX, mount: { folder: "/m", dax: false } }] },
      "ram uring",
      "no persistent",
    ],
    ["memory in sector mode", { memory: [{ mode: "sector", device: "/dev/pmem0s" }] }, "ram uring", "no persistent"],
  ];
  for (const [what, machine, names, notice] of cases) {
    test(`${what}: ${names}`, () => {
      const choice = chosen("", machine);
      expect(choice.names).toBe(names);
      expect(choice.notice).toContain(notice);
      expect(choice.notice).toMatch(/^plugins: scm \S.*[^.]$/);
    });
  }

  test("persistent memory comes with its place", () => {
    expect(chosen("", { memory: [DAX] }).config).toEqual({ path: "/mnt/pmem0" });
    expect(chosen("", { memory: [DEVDAX, { ...DEVDAX, device: "/dev/dax1.0" }] }).config).toEqual({
      path: ["/dev/dax0.0", "/dev/dax1.0"],
    });
  });

  test("a name is not second-guessed, nor its settings", () => {
    const text = "scm: { plugin: file, config: { path: /fast } }\nnvme: { plugin: file }";
    const choice = chosen(text, { memory: [DAX] });
    expect(choice).toEqual({
      names: "file file",
      config: { path: "/fast" },
      notice: "plugins: scm file (configured), nvme file (configured)",
    });
    expect(chosen("nvme: { plugin: uring }", { missing: ["uring"] }).names).toBe("file uring");
  });

  test("settings without a name are refused", () => {
    for (const tier of ["scm", "nvme"]) {
      const choose = (): unknown => chosen(`${tier}: { config: { path: /fast } }`, {});
      expect(choose).toThrow(DaosError);
      expect(choose).toThrow(`Name the plugin in ${tier}.plugin`);
    }
  });
});

describe("a formatted storage", () => {
  const cases: readonly [string, Machine, string, string][] = [
    ["stays with file", { formatted: { scm: "file", nvme: "file" } }, "file file", "scm file (as formatted)"],
    [
      "stays with what it has",
      { formatted: { scm: "ram", nvme: "uring" }, directIo: false },
      "ram uring",
      "as formatted",
    ],
    [
      "does not move to new memory",
      { formatted: { scm: "ram", nvme: "uring" }, memory: [DAX] },
      "ram uring",
      "formatted",
    ],
    [
      "opens with file what uring cannot",
      { formatted: { scm: "ram", nvme: "uring" }, missing: ["uring"] },
      "ram file",
      "nvme file (instead of uring, which cannot serve now: install liburing-dev)",
    ],
    [
      "keeps a plugin that nothing stands in for",
      { formatted: { scm: "pmdk", nvme: "spdk" }, missing: ["pmdk", "spdk"] },
      "pmdk spdk",
      "as formatted",
    ],
  ];
  for (const [what, machine, names, notice] of cases) {
    test(`${what}: ${names}`, () => {
      const choice = chosen("", machine);
      expect(choice.names).toBe(names);
      expect(choice.notice).toContain(notice);
    });
  }

  test("settings chosen at format are taken from there, given ones go before", () => {
    const formatted = { scm: "pmdk", nvme: "uring", config: { path: "/mnt/pmem0" } };
    expect(chosen("", { formatted, memory: [DEVDAX] }).config).toEqual({ path: "/mnt/pmem0" });
    expect(chosen("scm: { config: { path: /mnt/moved } }", { formatted }).config).toEqual({ path: "/mnt/moved" });
  });
});

test("file stands in for ram and for uring, and they for it, but for nothing else", () => {
  const pairs = ["file", "ram", "pmdk"].flatMap((left) =>
    ["file", "ram", "pmdk"].map((right) => [left, right] as const),
  );
  const same = pairs.filter(([left, right]) => left < right && isInterchangeable("scm", left, right));
  expect(same).toEqual([["file", "ram"]]);
  expect(isInterchangeable("block-device", "uring", "file")).toBe(true);
  expect(isInterchangeable("block-device", "spdk", "file")).toBe(false);
  expect(isInterchangeable("block-device", "spdk", "spdk")).toBe(true);
});
