/** `daos server ...`, `daos system ...`, `daos storage ...` against a fake engine. */
import { expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { GIB } from "../../src/base/limits.ts";
import { Harness, unreachable } from "./harness.ts";

const SYSTEM = {
  system: "daos_server",
  software: "daos 0.1.0",
  pid: 4242,
  uptimeMs: 93_784_000,
  storage: "/var/lib/daos",
  targets: [
    { index: 0, host: "127.0.0.1", port: 40_001, rank: 0 },
    { index: 1, host: "127.0.0.1", port: 40_002, rank: 1 },
  ],
  scmTotalBytes: GIB / 2,
  scmUsedBytes: GIB / 8,
  nvmeTotalBytes: 4 * GIB,
  nvmeUsedBytes: 0,
  engines: [
    {
      rank: 0,
      id: "aaaaaaaa-2222-4333-8444-555555555555",
      state: "joined",
      domain: "/rack1/node1",
      address: "127.0.0.1:10001",
      targets: 1,
      exclusionInMs: null,
      reason: null,
      software: null,
      version: null,
      scmTotalBytes: GIB / 4,
      scmUsedBytes: GIB / 8,
      nvmeTotalBytes: 2 * GIB,
      nvmeUsedBytes: 0,
    },
    {
      rank: 1,
      id: "bbbbbbbb-2222-4333-8444-555555555555",
      state: "suspect",
      domain: "/rack1/node2",
      address: "127.0.0.1:10101",
      targets: 1,
      exclusionInMs: 4200,
      reason: null,
      software: null,
      version: null,
      scmTotalBytes: GIB / 4,
      scmUsedBytes: 0,
      nvmeTotalBytes: 2 * GIB,
      nvmeUsedBytes: 0,
    },
  ],
  pools: [{ label: "tank", mapVersion: 3, down: 1 }],
};
const SYSTEM_TEXT = [
  "System    daos_server",
  "Software  daos 0.1.0",
  "Process   4242",
  "Uptime    1 d 2 h",
  "Storage   /var/lib/daos",
  "SCM       128 MiB of 512 MiB used (25 %)",
  "NVMe      0 B of 4 GiB used (0 %)",
  "",
  "Rank  State                       Domain        Targets  Address",
  "   0  joined                      /rack1/node1        1  127.0.0.1:10001",
  "   1  suspect, excluded in 4.2 s  /rack1/node2        1  127.0.0.1:10101",
  "",
  "Target  Rank  Address",
  "     0     0  127.0.0.1:40001",
  "     1     1  127.0.0.1:40002",
  "",
].join("\n");

test.each(["system query", "admin system query"])("daos %s", async (line) => {
  const harness = new Harness();
  expect(await harness.json(line)).toEqual({ status: 0, value: SYSTEM, stderr: "" });
  expect((await harness.run(line)).stdout).toBe(SYSTEM_TEXT);
});

test.each(["storage query", "admin storage query"])("daos %s", async (line) => {
  const harness = new Harness();
  const { stdout } = await harness.run(line);
  expect(stdout).toStartWith("Device       01234567-89ab-4cde-8f01-23456789abcd\nPlugin       uring on /dev/nvme0n1\n");
  expect(stdout).toEndWith(
    [
      "Target  Tier      Size    Used     Free   Full",
      "     0  SCM    256 MiB  64 MiB  192 MiB   25 %",
      "     0    log   64 MiB   1 MiB   63 MiB  1.6 %",
      "     0  NVMe     2 GiB   1 MiB    2 GiB    0 %",
      "     1  SCM    256 MiB  64 MiB  192 MiB   25 %",
      "     1    log   64 MiB   1 MiB   63 MiB  1.6 %",
      "     1  NVMe     2 GiB     0 B    2 GiB    0 %",
      "",
    ].join("\n"),
  );
  expect((await harness.json(line)).value.tiers[2]).toEqual({
    target: 0,
    tier: "NVMe",
    totalBytes: 2 * GIB,
    usedBytes: 1_048_576,
  });
});

test("server status", async () => {
  const harness = new Harness();
  expect((await harness.json("server status")).value).toEqual({ running: true, ...SYSTEM });
  expect((await harness.run("server status")).stdout).toBe(`Running\n${SYSTEM_TEXT}`);
  harness.connectErrors.push(unreachable());
  expect(await harness.run("server status")).toMatchObject({ status: 1, stdout: "" });
});

test("server start hands its flags over and gives the engine's status", async () => {
  const harness = new Harness();
  const flags = "--config f.yml --storage /data --listen 127.0.0.1:0 --targets 2 --scm-size 256MiB --nvme-size 1TiB";
  expect((await harness.run(`server start ${flags} --json`)).status).toBe(0);
  await harness.run("server start");
  expect(harness.starts).toEqual([
    {
      configPath: "f.yml",
      storage: "/data",
      listen: "127.0.0.1:0",
      targets: 2,
      scmSizeBytes: GIB / 4,
      nvmeSizeBytes: 1024 * GIB,
      json: true,
      signal: harness.abort.signal,
    },
    { json: false, signal: harness.abort.signal },
  ]);
});

test("server start that cannot start: a wrong configuration is 2, a busy folder is 1", async () => {
  const harness = new Harness();
  const { environment } = harness;
  const failing = (code: "CONFIGURATION" | "BUSY") => ({
    ...environment,
    server: { ...environment.server, start: () => Promise.reject(new DaosError(code, `Cannot start: ${code}.`)) },
  });
  const { runCommandLine } = await import("../../src/cli/command-line.ts");
  expect(await runCommandLine(["server", "start"], failing("CONFIGURATION"))).toBe(2);
  expect(await runCommandLine(["server", "start"], failing("BUSY"))).toBe(1);
  expect(harness.stderr.take().toString()).toBe("daos: Cannot start: CONFIGURATION.\ndaos: Cannot start: BUSY.\n");
});

/** Lets the command run until it waits for a timer. */
async function untilTimer(harness: Harness): Promise<void> {
  for (let turn = 0; turn < 1000 && harness.time.pending === 0; turn++) await Promise.resolve();
  expect(harness.time.pending).toBeGreaterThan(0);
}

test("server stop waits until nobody answers", async () => {
  const harness = new Harness();
  harness.connectErrors.push(undefined, undefined, unreachable());
  const running = harness.json("server stop");
  await untilTimer(harness);
  expect(harness.system.stopped).toBe(true);
  harness.time.advance(100);
  const { status, value } = await running;
  expect({ status, value, connects: harness.connects.length }).toEqual({
    status: 0,
    value: { pid: 4242, stopped: true },
    connects: 3,
  });
});

test("server stop gives up after --wait", async () => {
  const harness = new Harness();
  const running = harness.json("server stop --wait 0.2");
  for (let round = 0; round < 2; round++) {
    await untilTimer(harness);
    harness.time.advance(100);
  }
  const { status, value } = await running;
  expect({ status, code: value.error.code }).toEqual({ status: 1, code: "TIMEOUT" });
  expect(value.error.message).toContain("--wait");
});

const PLUGIN = {
  kind: "scm",
  name: "pmdk",
  description: "persistent memory",
  origin: "built in",
  state: "unavailable" as const,
  reason: "libpmem2.so.1 is not installed",
};

test("server plugins shows the engine's", async () => {
  const harness = new Harness();
  harness.system.pluginEntries = [PLUGIN, { ...PLUGIN, name: "file", state: "in use", reason: "" }];
  expect((await harness.run("server plugins")).stdout).toBe(
    [
      "Kind  Name  State        Description or reason           Origin",
      "scm   pmdk  unavailable  libpmem2.so.1 is not installed  built in",
      "scm   file  in use       persistent memory               built in",
      "",
    ].join("\n"),
  );
  expect((await harness.json("server plugins")).value[0]).toEqual(PLUGIN);
});

test("server plugins without an engine shows the program's own, unless an engine was named", async () => {
  const harness = new Harness();
  harness.localPlugins = [PLUGIN];
  harness.connectErrors.push(unreachable(), unreachable());
  const { status, value, stderr } = await harness.json("server plugins");
  expect({ status, value }).toEqual({ status: 0, value: [PLUGIN] });
  expect(stderr).toContain("no engine runs here");
  expect((await harness.run("server plugins --system 10.0.0.1:1")).status).toBe(1);
});

test("server config check", async () => {
  const harness = new Harness();
  harness.files.contents.set("server.yml", Buffer.from("name: x\n"));
  expect(await harness.run("server config check server.yml")).toMatchObject({
    status: 0,
    stdout: "server.yml is valid.\n",
  });
  const problems = [
    { message: 'not a key. Did you mean "targets"?', line: 3, path: "taregts" },
    { message: "Cannot use the file: scm is missing. Add it." },
  ];
  harness.problemsOf.set("server.yml", problems);
  const { status, stdout, stderr } = await harness.run("server config check server.yml");
  expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
  expect(stderr).toBe(
    'daos: server.yml:3: taregts: not a key. Did you mean "targets"?\n' +
      "daos: server.yml: Cannot use the file: scm is missing. Add it.\n",
  );
  expect((await harness.json("server config check server.yml")).value).toEqual({
    file: "server.yml",
    valid: false,
    problems: [
      { message: problems[0]!.message, line: 3, path: "taregts" },
      { message: problems[1]!.message, line: null, path: null },
    ],
  });
  expect((await harness.run("server config check nope.yml")).status).toBe(1);
});

test("server config check of a file that is no configuration ends without reading all of it", async () => {
  const harness = new Harness();
  harness.files.contents.set("huge", new Uint8Array(1024 * 1024));
  const { status, value } = await harness.json("server config check huge");
  expect({ status, valid: value.valid }).toEqual({ status: 2, valid: false });
});

test("server config example", async () => {
  const harness = new Harness();
  expect((await harness.run("server config example")).stdout).toBe("# example\nname: daos_server\n");
  expect((await harness.json("server config example")).value).toEqual({
    configuration: "# example\nname: daos_server\n",
  });
});

test("system query --verbose adds space and id of each engine, and the pools' maps", async () => {
  const { stdout } = await new Harness().run("system query --verbose");
  expect(stdout).toStartWith(SYSTEM_TEXT);
  expect(stdout).toContain("   1  bbbbbbbb-2222-4333-8444-555555555555  0 B of 256 MiB used (0 %)");
  expect(stdout).toContain("Pool  Map version  Targets down\ntank            3             1\n");
});

test("server start takes engines, the system to join and the fault domain; too many engines are refused", async () => {
  const harness = new Harness();
  expect((await harness.run("server start --engines 3 --fault-domain /rack1")).status).toBe(0);
  expect(harness.starts.at(-1)).toMatchObject({ engines: 3, faultDomain: "/rack1" });
  expect((await harness.run("server start --join 10.0.0.5:10001")).status).toBe(0);
  expect(harness.starts.at(-1)).toMatchObject({ join: "10.0.0.5:10001" });
  for (const count of ["0", "100", "x"]) {
    expect((await harness.run(`server start --engines ${count}`)).status).toBe(2);
  }
});

test("server stop --rank stops one engine and does not wait", async () => {
  const harness = new Harness();
  expect(await harness.json("server stop --rank 2")).toEqual({
    status: 0,
    value: { rank: 2, stopped: true },
    stderr: "",
  });
  expect(harness.system.stopped).toBe(false);
});
