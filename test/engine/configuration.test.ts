import { describe, expect, test } from "bun:test";
import { ramSettings } from "../../plugins/scm/ram/settings.ts";
import { readFileSync } from "node:fs";
import { hasCode } from "../../src/base/errors.ts";
import { GIB } from "../../src/base/limits.ts";
import { CONFIGURATION_KEYS } from "../../src/engine/configuration-keys.ts";
import { exampleConfiguration } from "../../src/engine/configuration-example.ts";
import {
  checkConfiguration,
  type Configuration,
  type ConfigurationSources,
  formatProblem,
  loadConfiguration,
  resolveConfiguration,
  targetPort,
} from "../../src/engine/configuration.ts";
import { DEFAULT_SWIM_SETTINGS } from "../../src/membership/settings.ts";

const PATH = "/etc/daos/daos.yml";
const BARE: ConfigurationSources = { environment: { HOME: "/home/ann" }, cores: 4, workingFolder: "/home/admin" };

function projectFile(path: string): string {
  return readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
}

/** The problems of a file, one line each. */
function problemsOf(text: string): string[] {
  return (checkConfiguration(text, PATH).problems ?? []).map(formatProblem);
}

function accepted(text: string): Configuration {
  const check = checkConfiguration(text, PATH);
  if (check.problems !== undefined) throw new Error(check.problems.map(formatProblem).join("\n"));
  return check.configuration;
}

/** The text of a file that sets one key to `value`, given as YAML. */
function setting(path: string, value: string): string {
  const [group, name] = path.split(".");
  return name === undefined ? `${path}: ${value}\n` : `${group}:\n  ${name}: ${value}\n`;
}

describe("defaults", () => {
  test("nothing is required", () => {
    const expected: Configuration = {
      name: "daos",
      listen: { host: "127.0.0.1", port: 10001 },
      storage: "/home/ann/.local/share/daos",
      targets: 3,
      engines: 0,
      join: undefined,
      faultDomain: "/",
      membership: { leaseMs: 3000, excludeAfterMs: 60_000, excludeDeadAfterMs: 0 },
      swim: DEFAULT_SWIM_SETTINGS,
      scm: { plugin: "auto", sizeBytes: 4 * GIB, config: {} },
      nvme: {
        plugin: "auto",
        sizeBytes: 16 * GIB,
        config: {},
        devices: [{ plugin: "auto", config: {} }],
        faults: {
          enable: true,
          max_io_errs: 10,
          max_csum_errs: 4_294_967_295,
          max_latency_ms: 5000,
          timeout_ms: 30_000,
        },
      },
      metaStore: { plugin: "sqlite", config: {} },
      plugins: [],
      allowInsecure: false,
      logLevel: "info",
      given: new Set(),
    };
    expect(loadConfiguration(BARE)).toEqual(expected);
    for (const text of ["", "# nothing\n", "---\n", "null\n", "scm:\nnvme:\n  size:\n", "{}"]) {
      expect(loadConfiguration({ ...BARE, file: { text, path: PATH } })).toEqual(expected);
    }
  });

  test("targets follow the cores, within limits; storage follows XDG_DATA_HOME", () => {
    const targets = (cores: number): number => loadConfiguration({ ...BARE, cores }).targets;
    expect([targets(1), targets(2), targets(8), targets(1000)]).toEqual([1, 1, 7, 64]);
    const environment = { HOME: "/home/ann", XDG_DATA_HOME: "/data" };
    expect(loadConfiguration({ ...BARE, environment }).storage).toBe("/data/daos");
  });
});

describe("the file", () => {
  test("every key is read", () => {
    const configuration = accepted(`
name: prod
listen: 127.0.0.1:7000
storage: ./data/../store
targets: 2
engines: 1
fault_domain: /rack1
join: 127.0.0.1:9
lease: 5
exclude_after: never
exclude_dead_after: 30
swim: { period_ms: 1000, helpers: 2 }
scm: { plugin: pmdk, size: 1GiB, config: { namespace: 0.0 } }
nvme: { plugin: uring, size: 107374182400, config: { device: /dev/nvme0n1 }, faulty: { max_io_errs: 5, timeout_ms: 1000 } }
meta_store: { plugin: etcd, config: { endpoints: [a, b] } }
plugins: [./mine.ts, /opt/x.js, some-package, ~/own.ts]
transport_config: { allow_insecure: true }
log_level: debug
`);
    expect({ ...configuration, plugins: configuration.plugins.slice(0, 3), given: configuration.given.size }).toEqual({
      name: "prod",
      listen: { host: "127.0.0.1", port: 7000 },
      storage: "/etc/daos/store",
      targets: 2,
      engines: 1,
      join: { host: "127.0.0.1", port: 9 },
      faultDomain: "/rack1",
      membership: { leaseMs: 5000, excludeAfterMs: undefined, excludeDeadAfterMs: 30_000 },
      swim: { ...DEFAULT_SWIM_SETTINGS, periodMs: 1_000, helpers: 2 },
      scm: { plugin: "pmdk", sizeBytes: GIB, config: { namespace: 0 } },
      nvme: {
        plugin: "uring",
        sizeBytes: 100 * GIB,
        config: { device: "/dev/nvme0n1" },
        devices: [{ plugin: "uring", config: { device: "/dev/nvme0n1" } }],
        faults: { enable: true, max_io_errs: 5, max_csum_errs: 4_294_967_295, max_latency_ms: 5000, timeout_ms: 1000 },
      },
      metaStore: { plugin: "etcd", config: { endpoints: ["a", "b"] } },
      plugins: ["/etc/daos/mine.ts", "/opt/x.js", "some-package"],
      allowInsecure: true,
      logLevel: "debug",
      // All but nvme.devices, which stands in the place of nvme.plugin and nvme.config.
      given: CONFIGURATION_KEYS.length - 1,
    });
    expect([targetPort(configuration, 0), targetPort(configuration, 1)]).toEqual([7001, 7002]);
    expect(targetPort({ ...configuration, listen: { host: "::1", port: 0 } }, 1)).toBe(0);
  });

  test("each key of a wrong type or value is told with its line and what is expected", () => {
    for (const { path, expected } of CONFIGURATION_KEYS) {
      const wrong = ["[[1]]", "{a: {b: 1}}", "-5", ".inf", "yes please!", '""', "true"];
      const told = wrong.flatMap((value) => problemsOf(`# first line\n${setting(path, value)}`));
      const line = path.includes(".") ? 3 : 2;
      for (const problem of told) expect(problem).toStartWith(`line ${line}: ${path}: expected ${expected}, got `);
      expect(told.length).toBeGreaterThanOrEqual(5);
    }
  });

  test("an unknown key is told with its line and a suggestion", () => {
    expect(problemsOf("name: x\ntragets: 2\n")).toEqual(['line 2: tragets: unknown key. Did you mean "targets"?']);
    expect(problemsOf("scm:\n  sizes: 1GiB\n")).toEqual(['line 2: scm.sizes: unknown key. Did you mean "size"?']);
    expect(problemsOf("allow_insecure: true\n")).toEqual([
      'line 1: allow_insecure: unknown key here. Did you mean "transport_config.allow_insecure"?',
    ]);
    expect(problemsOf("zzzz: 1\n")[0]).toContain("Known ones are name, listen, storage");
    expect(problemsOf("? [a]\n: 1\n").length).toBe(1);
    for (const name of ["constructor", "__proto__", "toString"]) expect(problemsOf(`${name}: 1\n`).length).toBe(1);
  });

  test("each key misspelt by one letter is suggested", () => {
    for (const { path } of CONFIGURATION_KEYS) {
      const name = path.split(".").at(-1)!;
      const misspelt = [...path.split(".").slice(0, -1), `${name}x`].join(".");
      const [problem] = problemsOf(setting(misspelt, "1"));
      expect(problem).toEndWith(`${misspelt}: unknown key. Did you mean "${name}"?`);
    }
  });

  test("all problems are told at once", () => {
    const problems = problemsOf("targets: none\nscm:\n  size: big\nfoo_bar_baz: 1\n");
    expect(problems.map((problem) => problem.split(":")[0])).toEqual(["line 1", "line 3", "line 4"]);
  });

  test("a group that holds no keys, a list, a text, broken YAML, two documents, doubled keys", () => {
    expect(problemsOf("scm: 1GiB\n")).toEqual(["line 1: scm: expected keys beneath it: plugin, size, config"]);
    expect(problemsOf("- a\n- b\n")).toEqual(["line 1: expected keys and values, such as `targets: 2`"]);
    expect(problemsOf("just text").length).toBe(1);
    expect(problemsOf("name: 'x\n")[0]).toStartWith("line ");
    expect(problemsOf("name: a\n---\nname: b\n")[0]).toContain("YAML");
    expect(problemsOf("name: a\nname: b\n")[0]).toContain("YAML");
    expect(problemsOf("\tname: a\n")[0]).toContain("YAML");
  });

  test("aliases work, a bomb of them does not", () => {
    expect(accepted("scm: { config: &c { a: 1 } }\nnvme: { config: *c }\n").nvme.config).toEqual({ a: 1 });
    const bomb = ["scm:", "  config:", "    a0: &a0 [x, x, x, x, x, x, x, x, x, x]"];
    for (let level = 1; level < 9; level += 1) {
      bomb.push(`    a${level}: &a${level} [${Array.from({ length: 10 }, () => `*a${level - 1}`).join(", ")}]`);
    }
    expect(problemsOf(bomb.join("\n"))[0]).toContain("scm.config");
  });

  test("a file that is far too large is refused unread", () => {
    expect(problemsOf(`# ${"x".repeat(300_000)}`)).toEqual(["the file is larger than 256 KiB"]);
  });
});

describe("precedence", () => {
  test("flags over environment over file over default", () => {
    const file = { text: "targets: 2\nname: file\nlisten: 127.0.0.1:1\nlog_level: warn\n", path: PATH };
    const environment = { HOME: "/h", DAOS_NAME: "environment", DAOS_LISTEN: "127.0.0.1:2", DAOS_STORAGE: "rel" };
    const flags = { listen: "127.0.0.1:3", targets: undefined, "scm.size": 1 * GIB };
    const { name, listen, targets, logLevel, scm, storage, given } = loadConfiguration({
      ...BARE,
      environment,
      file,
      flags,
    });
    expect([name, listen.port, targets, logLevel, scm.sizeBytes, storage]).toEqual([
      "environment",
      3,
      2,
      "warn",
      GIB,
      "/home/admin/rel",
    ]);
    expect([...given].sort()).toEqual(["listen", "log_level", "name", "scm.size", "storage", "targets"]);
  });

  test("every variable is read in the form of its key", () => {
    const environment = {
      DAOS_NAME: "n",
      DAOS_LISTEN: "0.0.0.0:5",
      DAOS_STORAGE: "/s",
      DAOS_TARGETS: "2",
      DAOS_ENGINES: "1",
      DAOS_JOIN: "h:1",
      DAOS_FAULT_DOMAIN: "/rack1/node2",
      DAOS_LEASE: "2.5",
      DAOS_EXCLUDE_AFTER: "never",
      DAOS_EXCLUDE_DEAD_AFTER: "1.5",
      DAOS_SCM_PLUGIN: "a",
      DAOS_SCM_SIZE: "1GiB",
      DAOS_NVME_PLUGIN: "b",
      DAOS_NVME_SIZE: "2GiB",
      DAOS_META_STORE_PLUGIN: "c",
      DAOS_PLUGINS: "./p.ts, q",
      DAOS_ALLOW_INSECURE: "true",
      DAOS_LOG_LEVEL: "error",
    };
    const known = CONFIGURATION_KEYS.flatMap((key) => key.environment ?? []);
    expect(Object.keys(environment).sort()).toEqual([...known].sort());
    const configuration = loadConfiguration({ ...BARE, environment });
    expect(configuration.given.size).toBe(known.length);
    expect(configuration.plugins).toEqual(["/home/admin/p.ts", "q"]);
    expect(configuration.allowInsecure).toBe(true);
  });

  test("wrong variables and flags are told by their names; a misspelt variable too", () => {
    const environment = { DAOS_TARGETS: "two", DAOS_TARGET: "2", DAOS_SYSTEM: "h:1", DAOS_POOL: "tank", OTHER: "x" };
    const check = resolveConfiguration({ ...BARE, environment, flags: { "scm.size": "big" } });
    expect(check.problems?.map(formatProblem)).toEqual([
      'DAOS_TARGETS: expected a whole number from 1 to 64, got "two"',
      'environment DAOS_TARGET: unknown variable. Did you mean "DAOS_TARGETS"?',
      '--scm-size: expected a size such as 4GiB, got "big"',
    ]);
  });
});

describe("meaning", () => {
  test("listening beyond this machine is refused unless allowed by name", () => {
    const refused = problemsOf("targets: 1\nlisten: 0.0.0.0:10001\n");
    expect(refused.length).toBe(1);
    expect(refused[0]).toContain("line 2: listen: 0.0.0.0 can be reached from other machines");
    expect(refused[0]).toContain("transport_config.allow_insecure: true");
    expect(problemsOf("listen: '[::]:1'\n").length).toBe(1);
    accepted("listen: 0.0.0.0:10001\ntransport_config:\n  allow_insecure: true\n");
    accepted("listen: '[::1]:10001'\n");
  });

  test("sizes too small for the targets, ports beyond the last", () => {
    expect(problemsOf("targets: 4\nscm:\n  size: 63MiB\n")[0]).toContain("line 3: scm.size: 63 MiB is too small");
    accepted("targets: 4\nscm:\n  size: 64MiB\n");
    expect(problemsOf("nvme:\n  size: 1KiB\n").length).toBe(1);
    expect(problemsOf("targets: 3\nlisten: 127.0.0.1:65533\n")[0]).toContain("no ports are left");
    accepted("targets: 2\nlisten: 127.0.0.1:65533\n");
  });

  test("loadConfiguration throws CONFIGURATION with every problem", () => {
    const file = { text: "tragets: 1\nname: a b\n", path: PATH };
    let thrown: unknown;
    try {
      loadConfiguration({ ...BARE, file });
    } catch (error) {
      thrown = error;
    }
    expect(hasCode(thrown, "CONFIGURATION")).toBe(true);
    const { message } = thrown as Error;
    expect(message).toStartWith(`Cannot use configuration "${PATH}": line 1: tragets: unknown key.`);
    expect(message).toContain("line 2: name: expected");
  });
});

describe("the example and the documents", () => {
  test("the example is config/laptop.yml and changes nothing", () => {
    const text = exampleConfiguration();
    expect(projectFile("config/laptop.yml")).toBe(text);
    const { given, ...values } = loadConfiguration({ ...BARE, file: { text, path: PATH } });
    const { given: _, ...defaults } = loadConfiguration(BARE);
    expect(values).toEqual(defaults);
    expect(given.size).toBeGreaterThan(5);
  });

  test("the example is still right with every key in it uncommented", () => {
    const text = exampleConfiguration().replaceAll(/^( *)# ((?:storage|targets|size|engines|join): .*)$/gm, "$1$2");
    // nvme.devices stands in the place of nvme.plugin and nvme.config.
    expect(accepted(text).given.size).toBe(CONFIGURATION_KEYS.length - 1);
  });

  test("the example and docs/admin.md name every key, variable and flag", () => {
    const guide = projectFile("docs/admin.md");
    for (const { path, environment, flag } of CONFIGURATION_KEYS) {
      expect(exampleConfiguration()).toContain(`${path.split(".").at(-1)!}:`);
      expect(guide).toContain(`\`${path}\``);
      for (const name of [environment, flag]) {
        if (name === undefined) continue;
        expect(guide).toContain(`\`${name}\``);
        expect(exampleConfiguration()).toContain(name);
      }
    }
  });

  test("config/metadata-on-ssd.yml is accepted, and ram takes its settings", () => {
    const { scm, nvme } = accepted(projectFile("config/metadata-on-ssd.yml"));
    expect(nvme.devices.map(({ plugin }) => plugin)).toEqual(["uring", "uring"]);
    expect(scm.plugin).toBe("ram");
    expect(ramSettings.safeParse(scm.config).success).toBe(true);
  });

  test("config/storage-server.yml is accepted", () => {
    const { targets, listen, scm } = accepted(projectFile("config/storage-server.yml"));
    expect([targets, listen.host, scm.sizeBytes]).toEqual([4, "0.0.0.0", 24 * GIB]);
  });
});
