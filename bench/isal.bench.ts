/**
 * CRC32C and Reed-Solomon 4+2 from TypeScript, by the ISA-L addon and by the portable twin, against ISA-L called from C
 * (bench/native/isal-reference.cc). All data stays in the caches: memory would hide what a call costs.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadIsalAddon } from "../native/isal/addon.ts";
import type { Codec } from "../native/isal/codec.ts";
import { bestCodec } from "../native/isal/isal-codec.ts";
import { portableCodec } from "../native/isal/portable-codec.ts";
import { KIB, MIB } from "../src/base/limits.ts";
import type { Benchmark, Contender, Goal } from "./benchmark.ts";
import type { Figures } from "./table.ts";

const SECONDS = 0.5;
const WARM_UP_SHARE = 10;
/** Bytes worked on between two looks at the clock. */
const CHECK_INTERVAL_BYTES = 4 * MIB;
const DATA_CELLS = 4;
const PARITY_CELLS = 2;

const ISAL = "isal from TypeScript";
const PORTABLE = "portable TypeScript";
const REFERENCE = "ISA-L in C";
const FLOOR = "8 GB/s";
const RATE = "GB/s";

interface Workload {
  readonly kind: "crc32c" | "encode";
  readonly sizeBytes: number;
}
const WORKLOADS: Readonly<Record<string, Workload>> = {
  "crc32c of 4 KiB": { kind: "crc32c", sizeBytes: 4 * KIB },
  "crc32c of 64 KiB": { kind: "crc32c", sizeBytes: 64 * KIB },
  "encode 4+2, cells of 64 KiB": { kind: "encode", sizeBytes: 64 * KIB },
  "encode 4+2, cells of 1 MiB": { kind: "encode", sizeBytes: 1 * MIB },
};

function measureRate(seconds: number, sizeBytes: number, operation: () => void): number {
  const batch = Math.floor(CHECK_INTERVAL_BYTES / sizeBytes) + 1;
  const startedNs = Bun.nanoseconds();
  let bytes = 0;
  let tookNs = 0;
  while (tookNs < seconds * 1e9) {
    for (let count = 0; count < batch; count += 1) operation();
    bytes += batch * sizeBytes;
    tookNs = Bun.nanoseconds() - startedNs;
  }
  return bytes / tookNs;
}

function codecContender(name: string, codec: Codec): Contender {
  const pool = new SharedArrayBuffer((DATA_CELLS + PARITY_CELLS) * MIB);
  const operations = {
    crc32c(sizeBytes: number): () => void {
      const bytes = new Uint8Array(pool, 0, sizeBytes).fill(0x5a);
      let state = 0;
      return () => {
        state = codec.crc32c(bytes, state);
      };
    },
    encode(sizeBytes: number): () => void {
      const cellAt = (index: number) => new Uint8Array(pool, index * sizeBytes, sizeBytes).fill(0x5a);
      const data = Array.from({ length: DATA_CELLS }, (_, index) => cellAt(index));
      const parity = Array.from({ length: PARITY_CELLS }, (_, index) => cellAt(DATA_CELLS + index));
      const code = codec.erasureCode(DATA_CELLS, PARITY_CELLS);
      return () => code.encode(data, parity);
    },
  };
  return {
    name,
    measure: async (workload) => {
      const { kind, sizeBytes } = WORKLOADS[workload]!;
      const operation = operations[kind](sizeBytes);
      const workedBytes = kind === "encode" ? DATA_CELLS * sizeBytes : sizeBytes;
      measureRate(SECONDS / WARM_UP_SHARE, workedBytes, operation);
      return { [RATE]: measureRate(SECONDS, workedBytes, operation) };
    },
  };
}

class ReferenceContender implements Contender {
  readonly name = REFERENCE;
  #folder = "";

  async start(): Promise<void> {
    this.#folder = mkdtempSync(join(tmpdir(), "daos-isal-"));
    const source = join(import.meta.dir, "native", "isal-reference.cc");
    await this.#run(["c++", "-std=c++17", "-O2", "-o", join(this.#folder, "reference"), source, "-lisal"]);
  }

  async measure(workload: string): Promise<Figures> {
    const { kind, sizeBytes } = WORKLOADS[workload]!;
    return { [RATE]: Number(await this.#run([join(this.#folder, "reference"), kind, `${sizeBytes}`, `${SECONDS}`])) };
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

const goals = Object.entries(WORKLOADS).map(([workload, { kind }]): Goal => {
  const common = { workload, figure: RATE, contender: ISAL };
  return kind === "crc32c"
    ? { ...common, reference: FLOOR, atLeast: 1 }
    : { ...common, reference: REFERENCE, atLeast: 0.8 };
});

const benchmark: Benchmark = {
  title: "CRC32C and erasure code from TypeScript against ISA-L in C",
  unavailable,
  workloads: Object.keys(WORKLOADS),
  contenders: () => [
    codecContender(ISAL, bestCodec().codec),
    codecContender(PORTABLE, portableCodec),
    new ReferenceContender(),
    { name: FLOOR, measure: async (workload) => (WORKLOADS[workload]!.kind === "crc32c" ? { [RATE]: 8 } : {}) },
  ],
  goals,
};
export default benchmark;
