/** What the examples of docs/cli.md run against, and how a console block of it is run. */
import { objectClassByName } from "../../src/base/object-class.ts";
import { formatObjectId, objectId } from "../../src/base/object-id.ts";
import type { BenchmarkResult } from "../../src/client/benchmark.ts";
import { Harness } from "./harness.ts";

const OBJECT = formatObjectId(objectId("MULTI_HASHED", objectClassByName("S1"), 0, 7n));
const TRANSFER = JSON.stringify({
  steps: [
    { do: "update", object: OBJECT, dkey: "alice", akey: "balance", text: "90" },
    { do: "update", object: OBJECT, dkey: "bob", akey: "balance", text: "10" },
    { do: "fetch", object: OBJECT, dkey: "alice", akey: "balance" },
    { do: "fetch", object: OBJECT, dkey: "bob", akey: "balance" },
  ],
});

/** The files, plugins and figures that the examples speak of. */
export function documentedHarness(): Harness {
  const harness = new Harness();
  const { contents } = harness.files;
  contents.set("logo.png", Uint8Array.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]));
  contents.set("transfer.json", Buffer.from(TRANSFER));
  contents.set("movie.mp4", new Uint8Array(5000));
  contents.set("server.yml", Buffer.from("name: daos_server\n"));
  contents.set("wrong.yml", Buffer.from("taregts: 4\n"));
  harness.problemsOf.set("wrong.yml", [{ path: "taregts", line: 1, message: 'not a key. Did you mean "targets"?' }]);
  harness.system.pluginEntries = [
    {
      kind: "scm",
      name: "file",
      description: "A file with O_DIRECT and O_DSYNC",
      origin: "built in",
      state: "in use",
      reason: "",
    },
    {
      kind: "scm",
      name: "pmdk",
      description: "Persistent memory through libpmem2",
      origin: "built in",
      state: "unavailable",
      reason: "libpmem2.so.1 is not installed",
    },
  ];
  harness.system.checked = [
    {
      class: "POOL_BAD_COUNT",
      place: "pool tank",
      state: "its record counts 3 containers, there are 2",
      action: "TRUST_MS",
      outcome: "found",
    },
    {
      class: "CONT_NONEXIST_ON_PS",
      place: "container old (number 7)",
      state: "rank 1 has it, with data, of pool unknown; there is no record of it",
      action: "IGNORE",
      outcome: "found",
      advice: "DISCARD removes it with all its data.",
    },
  ];
  harness.scan = {
    blockDevices: [
      {
        path: "/dev/nvme0n1",
        sizeBytes: 1_920_383_410_176,
        sectorBytes: 512,
        model: "SAMSUNG MZQL21T9",
        mounts: [],
        state: "empty",
        content: "empty",
      },
      {
        path: "/dev/sda",
        sizeBytes: 137_438_953_472,
        sectorBytes: 4096,
        model: "QEMU HARDDISK",
        mounts: ["/"],
        state: "in use",
        content: "mounted on /",
      },
    ],
    nvme: [{ address: "0000:81:00.0", driver: "nvme", model: "SAMSUNG MZQL21T9" }],
    persistentMemory: [],
    hugePages: [{ pageBytes: 2_097_152, total: 512, free: 512 }],
    missing: [{ kind: "scm", name: "pmdk", reason: "libpmem2.so.1 is not installed" }],
  };
  harness.stopsAtOnce = true;
  harness.benchmark = () => Promise.resolve(documentedBenchmark);
  return harness;
}

/** Runs the `$ daos ...` lines of a block; the block as it should be. */
export async function runBlock(harness: Harness, block: string): Promise<string> {
  const commands = block.split("\n").filter((line) => line.startsWith("$ "));
  let result = "";
  for (const command of commands) {
    const { stdout, stderr } = await harness.run(command.slice("$ daos ".length));
    result += `${command}\n${stdout}${stderr}`;
  }
  return result;
}

export const documentedBenchmark: BenchmarkResult = {
  workload: "kv",
  sizeBytes: 100,
  concurrency: 16,
  connections: 1,
  readPercent: 50,
  keys: 10_000,
  seconds: 10.001,
  startedAtMs: 1_764_504_000_123.25,
  operations: 603_210,
  reads: 301_544,
  writes: 301_666,
  errors: 0,
  opsPerSecond: 60_314.968,
  megabytesPerSecond: 6.031,
  latencyMeanUs: 264.12,
  latencyP50Us: 241.5,
  latencyP99Us: 811,
  latencyP999Us: 1490,
  latencyMaxUs: 4210.25,
  clientCpuUsPerOp: 9.12,
  serverCpuUsPerOp: 13.406,
};
