/**
 * Writing and persisting 256 bytes and 4 KiB of scm/pmdk from TypeScript against the same loop in C
 * (bench/native/persist.c), on one file in memory whose granularity is forced to a cache line. The TypeScript side is the
 * region that the store uses: its checks and the call into the addon are what differs.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FORCED_GRANULARITIES, loadPmdkAddon } from "../native/pmdk/addon.ts";
import scmPmdk from "../plugins/scm/pmdk/index.ts";
import { pmdkSettings } from "../plugins/scm/pmdk/settings.ts";
import { KIB, MIB } from "../src/base/limits.ts";
import type { ScmRegion } from "../src/contracts/scm.ts";
import { processUsage, realWorld } from "../src/world/index.ts";
import type { Benchmark, Contender, Goal } from "./benchmark.ts";
import type { Figures } from "./table.ts";

const FILE_BYTES = 4 * MIB;
const REPEATS = 1_000_000;
const TYPESCRIPT = "scm/pmdk from TypeScript";
const REFERENCE = "libpmem2 in C";
const WORKLOADS: Readonly<Record<string, number>> = {
  "write and persist 256 B": 256,
  "write and persist 4 KiB": 4 * KIB,
};
/** Memory, where the system has such a folder: on a disk the kernel's own writing back disturbs. */
const FOLDER = "/dev/shm";

function makeFolder(): string {
  try {
    return mkdtempSync(join(FOLDER, "daos-persist-"));
  } catch {
    return mkdtempSync(join(tmpdir(), "daos-persist-"));
  }
}

class RegionContender implements Contender {
  readonly name = TYPESCRIPT;
  #folder = "";
  #region: ScmRegion | undefined;

  async start(): Promise<void> {
    this.#folder = makeFolder();
    const provider = scmPmdk.create(pmdkSettings.parse({ force_granularity: "cache_line" }));
    const options = { folder: this.#folder, sizeBytes: FILE_BYTES, create: true };
    this.#region = await provider.open(realWorld(), options);
  }

  async measure(workload: string): Promise<Figures> {
    const sizeBytes = WORKLOADS[workload]!;
    this.#write(sizeBytes, REPEATS);
    const cpuUs = (): number => {
      const usage = processUsage();
      return usage.cpuUserUs + usage.cpuSystemUs;
    };
    const startCpuUs = cpuUs();
    const startedNs = Bun.nanoseconds();
    this.#write(sizeBytes, REPEATS);
    const tookNs = Bun.nanoseconds() - startedNs;
    return { "ns/op": tookNs / REPEATS, "CPU ns/op": ((cpuUs() - startCpuUs) * 1000) / REPEATS };
  }

  #write(sizeBytes: number, repeats: number): void {
    const region = this.#region!;
    const { bytes } = region;
    let offset = 0;
    for (let repeat = 0; repeat < repeats; repeat += 1) {
      bytes.fill(repeat, offset, offset + sizeBytes);
      if (region.persist(offset, sizeBytes) !== undefined) throw new Error("Cannot measure: a persist was not done.");
      offset += sizeBytes;
      if (offset + sizeBytes > FILE_BYTES) offset = 0;
    }
  }

  async stop(): Promise<void> {
    this.#region?.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

class ReferenceContender implements Contender {
  readonly name = REFERENCE;
  #folder = "";

  async start(): Promise<void> {
    this.#folder = makeFolder();
    writeFileSync(join(this.#folder, "region"), Buffer.alloc(FILE_BYTES));
    const source = join(import.meta.dir, "native", "persist.c");
    await run(["cc", "-O2", "-o", join(this.#folder, "persist"), source, "-lpmem2"]);
  }

  async measure(workload: string): Promise<Figures> {
    const { cache_line: granularity } = FORCED_GRANULARITIES;
    const numbers = [FILE_BYTES, WORKLOADS[workload]!, REPEATS, granularity].map(String);
    const output = await run([join(this.#folder, "persist"), join(this.#folder, "region"), ...numbers]);
    const [wallNs, cpuNs] = output.trim().split(" ").map(Number);
    return { "ns/op": wallNs ?? Number.NaN, "CPU ns/op": cpuNs ?? Number.NaN };
  }

  async stop(): Promise<void> {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function run(command: readonly string[]): Promise<string> {
  const child = Bun.spawn([...command], { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  const output = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error(`Cannot run "${command[0]}": it failed, see above.`);
  return output;
}

function unavailable(): string | undefined {
  const result = loadPmdkAddon();
  if ("reason" in result) return result.reason;
  return Bun.which("cc") === null ? "there is no C compiler for the reference" : undefined;
}

const benchmark: Benchmark = {
  title: "Persists of scm/pmdk from TypeScript against libpmem2 in C, cache line granularity forced on memory",
  unavailable,
  workloads: Object.keys(WORKLOADS),
  contenders: () => [new RegionContender(), new ReferenceContender()],
  goals: Object.keys(WORKLOADS).map((workload): Goal => ({
    workload,
    figure: "ns/op",
    contender: TYPESCRIPT,
    reference: REFERENCE,
    atMost: 2,
  })),
};
export default benchmark;
