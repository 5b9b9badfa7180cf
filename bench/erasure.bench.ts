/**
 * What a client computes for a write of 4 MiB of full stripes, `planWrite` of the erasure plugin with cells of 128 KiB,
 * against ISA-L called from C on as many stripes in as much memory (bench/native/isal-reference.cc). Parity lies in memory
 * that is used again, as a client's buffers are.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadIsalAddon } from "../native/isal/addon.ts";
import type { Codec } from "../native/isal/codec.ts";
import { bestCodec } from "../native/isal/isal-codec.ts";
import { portableCodec } from "../native/isal/portable-codec.ts";
import { erasureProvider } from "../plugins/redundancy/erasure/index.ts";
import { KIB, MIB } from "../src/base/limits.ts";
import type { Benchmark, Contender, Goal } from "./benchmark.ts";
import type { Figures } from "./table.ts";

const SECONDS = 0.5;
const WARM_UP_SHARE = 5;
const WRITE_BYTES = 4 * MIB;
const CELL_BYTES = 128 * KIB;
const RATE = "GB/s";
const ISAL = "planWrite, ISA-L";
const PORTABLE = "planWrite, portable";
const REFERENCE = "ISA-L in C";

const WORKLOADS: Readonly<Record<string, { readonly word: string; readonly data: number; readonly parity: number }>> = {
  "4 MiB, EC_2P1": { word: "EC_2P1", data: 2, parity: 1 },
  "4 MiB, EC_4P2": { word: "EC_4P2", data: 4, parity: 2 },
};

function measureRate(seconds: number, operation: () => void): number {
  const startedNs = Bun.nanoseconds();
  let count = 0;
  let tookNs = 0;
  while (tookNs < seconds * 1e9) {
    operation();
    count += 1;
    tookNs = Bun.nanoseconds() - startedNs;
  }
  return (count * WRITE_BYTES) / tookNs;
}

function planContender(name: string, codec: Codec): Contender {
  const provider = erasureProvider(codec);
  return {
    name,
    measure: async (workload) => {
      const { word, data, parity } = WORKLOADS[workload]!;
      const pool = new Uint8Array((WRITE_BYTES / data) * parity);
      let used = 0;
      const allocate = (length: number) => {
        const start = used;
        used += length;
        return pool.subarray(start, used);
      };
      const scheme = provider.scheme(word, { cellBytes: CELL_BYTES, allocate });
      const bytes = new Uint8Array(WRITE_BYTES).fill(0x5a);
      const operation = () => {
        used = 0;
        scheme.planWrite(0, WRITE_BYTES, bytes);
      };
      measureRate(SECONDS / WARM_UP_SHARE, operation);
      return { [RATE]: measureRate(SECONDS, operation) };
    },
  };
}

class ReferenceContender implements Contender {
  readonly name = REFERENCE;
  #folder = "";

  async start(): Promise<void> {
    this.#folder = mkdtempSync(join(tmpdir(), "daos-erasure-"));
    const source = join(import.meta.dir, "native", "isal-reference.cc");
    await this.#run(["c++", "-std=c++17", "-O2", "-o", join(this.#folder, "reference"), source, "-lisal"]);
  }

  async measure(workload: string): Promise<Figures> {
    const { data, parity } = WORKLOADS[workload]!;
    const stripes = WRITE_BYTES / (data * CELL_BYTES);
    const sizes = [CELL_BYTES, SECONDS, data, parity, stripes].map(String);
    return { [RATE]: Number(await this.#run([join(this.#folder, "reference"), "encode", ...sizes])) };
  }

  async #run(command: readonly string[]): Promise<string> {
    const child = Bun.spawn([...command], { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
    const output = await new Response(child.stdout).text();
    if ((await child.exited) !== 0) throw new Error(`Cannot run "${command[0]}": it failed, see above.`);
    return output;
  }

  async stop(): Promise<void> {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function unavailable(): string | undefined {
  const result = loadIsalAddon();
  if ("reason" in result) return result.reason;
  return Bun.which("c++") === null ? "there is no C++ compiler for the reference" : undefined;
}

const benchmark: Benchmark = {
  title: "Plans of full-stripe writes by redundancy/erasure against ISA-L in C",
  unavailable,
  workloads: Object.keys(WORKLOADS),
  contenders: () => [
    planContender(ISAL, bestCodec().codec),
    planContender(PORTABLE, portableCodec),
    new ReferenceContender(),
  ],
  goals: Object.keys(WORKLOADS).map((workload): Goal => {
    return { workload, figure: RATE, contender: ISAL, reference: REFERENCE, atLeast: 0.8 };
  }),
};
export default benchmark;
