/**
 * block-device `uring` as a contender: the plugin in this thread on a file of its own, driven as fio drives the disk: so
 * many operations in flight, each at a random block, the next one begun when one ends. CPU is that of the whole process.
 */
import { randomFillSync } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import blockDeviceUring from "../plugins/block-device/uring/index.ts";
import { MIB } from "../src/base/limits.ts";
import type { BlockDevice } from "../src/contracts/block-device.ts";
import { realWorld } from "../src/world/index.ts";
import type { Contender } from "./benchmark.ts";
import type { FioWorkload } from "./fio-contender.ts";
import type { Figures } from "./table.ts";

const DEVICE_BYTES = 512 * MIB;
const SECONDS = 4;
/** Not measured: until the code is compiled. */
const WARM_UP_SECONDS = 0.5;
const MOST_OPERATIONS = 8_000_000;

/** Why the plugin cannot run here; undefined when it can. */
export function uringProblem(): string | undefined {
  const availability = blockDeviceUring.probe();
  return availability.available ? undefined : availability.reason;
}

export class UringContender implements Contender {
  readonly name = "block-device uring";
  readonly #workloads: Readonly<Record<string, FioWorkload>>;
  readonly #latenciesUs = new Float64Array(MOST_OPERATIONS);
  #folder = "";
  #device: BlockDevice | undefined;

  constructor(workloads: Readonly<Record<string, FioWorkload>>) {
    this.#workloads = workloads;
  }

  async start(): Promise<void> {
    this.#folder = mkdtempSync(join(tmpdir(), "daos-uring-"));
    const provider = blockDeviceUring.create({ preallocate: true, discard: false });
    this.#device = await provider.open(realWorld(), { folder: this.#folder, sizeBytes: DEVICE_BYTES, create: true });
    // Zeros may cost a disk less than what fio writes.
    const buffer = this.#device.allocate(MIB);
    for (let offset = 0; offset < DEVICE_BYTES; offset += MIB) {
      randomFillSync(buffer);
      await this.#device.write(offset, buffer, { durable: false });
    }
    await this.#device.flush();
    this.#device.release(buffer);
  }

  async measure(workload: string): Promise<Figures> {
    const { operation, sizeBytes, depth } = this.#workloads[workload]!;
    await this.#drive(operation, sizeBytes, depth, WARM_UP_SECONDS);
    const cpuBefore = process.cpuUsage();
    const startNs = Bun.nanoseconds();
    const count = await this.#drive(operation, sizeBytes, depth, SECONDS);
    const seconds = (Bun.nanoseconds() - startNs) / 1e9;
    const cpu = process.cpuUsage(cpuBefore);
    const latenciesUs = this.#latenciesUs.subarray(0, count).sort();
    return {
      "op/s": count / seconds,
      "MB/s": (count * sizeBytes) / seconds / 1e6,
      "p50 us": latenciesUs[Math.floor(count * 0.5)]!,
      "p99 us": latenciesUs[Math.floor(count * 0.99)]!,
      "server CPU us/op": (cpu.user + cpu.system) / count,
    };
  }

  async stop(): Promise<void> {
    await this.#device?.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Operations that ended within the time; their latencies are in `#latenciesUs`. */
  async #drive(operation: string, sizeBytes: number, depth: number, seconds: number): Promise<number> {
    const device = this.#device!;
    const latenciesUs = this.#latenciesUs;
    const isRead = operation.endsWith("read");
    const blocks = DEVICE_BYTES / sizeBytes;
    const endMs = performance.now() + seconds * 1000;
    let count = 0;
    const worker = async (): Promise<void> => {
      const buffer = randomFillSync(device.allocate(sizeBytes));
      while (performance.now() < endMs && count < MOST_OPERATIONS) {
        const offset = Math.floor(Math.random() * blocks) * sizeBytes;
        const startMs = performance.now();
        if (isRead) await device.read(offset, buffer);
        else await device.write(offset, buffer, { durable: false });
        latenciesUs[count] = (performance.now() - startMs) * 1000;
        count += 1;
      }
      device.release(buffer);
    };
    await Promise.all(Array.from({ length: depth }, worker));
    return Math.min(count, MOST_OPERATIONS);
  }
}
