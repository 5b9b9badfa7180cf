/**
 * The vhost-user client from TypeScript, against qemu-storage-daemon's null device: what block-device `spdk` costs beside the
 * device itself. The reference is the figure that must hold. With fewer than two idle cores the two polling threads take
 * turns, and the figures are the scheduler's.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { VhostUserDevice } from "../plugins/block-device/spdk/device.ts";
import type { Benchmark, Contender } from "./benchmark.ts";
import { nullDeviceProblem, openNullDevice } from "./null-device.ts";
import type { Figures } from "./table.ts";

const READ = "read 4 KiB, 32 in flight";
const WRITE = "write 4 KiB, 32 in flight";
const LONE = "read 4 KiB, 1 in flight";
const COPIED = "read 4 KiB into other memory, 32 in flight";
const BLOCK_BYTES = 4096;
const BLOCKS = 65_536;
const SECONDS = 2;
const CLOCK_EVERY = 1024;
const LEAST_OPERATIONS_PER_SECOND = 500_000;
const MOST_P50_US = 10;

interface Load {
  readonly depth: number;
  readonly writes?: boolean;
  readonly copied?: boolean;
}

const LOADS: Readonly<Record<string, Load>> = {
  [READ]: { depth: 32 },
  [WRITE]: { depth: 32, writes: true },
  [LONE]: { depth: 1 },
  [COPIED]: { depth: 32, copied: true },
};

async function measure(device: VhostUserDevice, load: Load): Promise<Figures> {
  const latenciesNs: number[] = [];
  const startNs = Bun.nanoseconds();
  const endNs = startNs + SECONDS * 1e9;
  let operations = 0;
  let running = true;
  const work = async (): Promise<void> => {
    const buffer = load.copied === true ? new Uint8Array(BLOCK_BYTES) : device.allocate(BLOCK_BYTES);
    while (running) {
      const offset = (operations % BLOCKS) * BLOCK_BYTES;
      const beganNs = load.depth === 1 ? Bun.nanoseconds() : 0;
      if (load.writes === true) await device.write(offset, buffer, { durable: false });
      else await device.read(offset, buffer);
      if (load.depth === 1) latenciesNs.push(Bun.nanoseconds() - beganNs);
      operations += 1;
      if (operations % CLOCK_EVERY === 0) running = Bun.nanoseconds() < endNs;
    }
    device.release(buffer);
  };
  const before = process.cpuUsage();
  await Promise.all(Array.from({ length: load.depth }, work));
  const used = process.cpuUsage(before);
  const seconds = (Bun.nanoseconds() - startNs) / 1e9;
  const figures = { "op/s": operations / seconds, "CPU us/op": (used.user + used.system) / operations };
  if (load.depth > 1) return figures;
  const sorted = Float64Array.from(latenciesNs).sort();
  return { ...figures, "p50 us": sorted[sorted.length >> 1]! / 1000, "p99 us": at(sorted, 0.99) / 1000 };
}

function at(sorted: Float64Array, share: number): number {
  return sorted[Math.floor(sorted.length * share)]!;
}

class ClientContender implements Contender {
  readonly name = "daos";
  #device: VhostUserDevice | undefined;
  #folder = "";

  async start(): Promise<void> {
    this.#folder = mkdtempSync(join(tmpdir(), "daos-bench-"));
    const opened = await openNullDevice(`${this.#folder}/socket`);
    if ("reason" in opened) throw new Error(opened.reason);
    this.#device = opened.device;
  }

  measure(workload: string): Promise<Figures> {
    return measure(this.#device!, LOADS[workload]!);
  }

  async stop(): Promise<void> {
    await this.#device?.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

const required: Contender = {
  name: "required",
  measure: async (workload): Promise<Figures> =>
    workload === LONE ? { "p50 us": MOST_P50_US } : { "op/s": LEAST_OPERATIONS_PER_SECOND },
};

const benchmark: Benchmark = {
  title: "vhost-user client against qemu-storage-daemon's null device",
  unavailable: nullDeviceProblem,
  workloads: Object.keys(LOADS),
  contenders: () => [new ClientContender(), required],
  goals: [
    { workload: READ, figure: "op/s", contender: "daos", reference: "required", atLeast: 1 },
    { workload: WRITE, figure: "op/s", contender: "daos", reference: "required", atLeast: 1 },
    { workload: LONE, figure: "p50 us", contender: "daos", reference: "required", atMost: 1 },
  ],
};
export default benchmark;
