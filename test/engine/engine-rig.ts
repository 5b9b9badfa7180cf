/**
 * A real engine process with a pool and a container on it, for tests of what it does with bad input; and starts that are
 * expected to be refused.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DaosError } from "../../src/base/errors.ts";
import { connect, type Container, type System } from "../../src/library.ts";
import { EngineProcess, type EngineProcessOptions } from "../crash/engine-process.ts";

const MAIN = join(import.meta.dir, "../../src/main.ts");
export const SMALL_TIERS = { scmSize: "64MiB", nvmeSize: "256MiB", targets: 1 } as const;

export interface EngineRigOptions extends Partial<Omit<EngineProcessOptions, "storage">> {
  /** Size of the pool; everything there is, unless given. */
  readonly poolBytes?: number;
}

export class EngineRig {
  readonly storage: string;
  engine!: EngineProcess;
  system!: System;
  container!: Container;
  readonly #options: EngineRigOptions;

  private constructor(options: EngineRigOptions) {
    this.storage = temporaryFolder();
    this.#options = { ...SMALL_TIERS, ...options };
  }

  /** Formats a storage folder and makes pool "tank" and container "things" of type kv. */
  static async start(options: EngineRigOptions = {}): Promise<EngineRig> {
    const { poolBytes, ...processOptions } = options;
    const rig = new EngineRig(processOptions);
    try {
      await rig.#startEngine();
      const { scmTotalBytes, nvmeTotalBytes } = await rig.system.query();
      const sizeBytes = poolBytes ?? scmTotalBytes + nvmeTotalBytes;
      await rig.system.createPool({ label: "tank", sizeBytes });
      await rig.system.pool("tank").createContainer({ label: "things", type: "kv" });
      await rig.#open();
    } catch (error) {
      // It may have failed before or after the engine came up.
      await (rig.engine as EngineProcess | undefined)?.kill();
      rmSync(rig.storage, { recursive: true, force: true });
      throw error;
    }
    return rig;
  }

  async #startEngine(): Promise<void> {
    this.engine = await EngineProcess.start({ ...this.#options, storage: this.storage });
    this.system = await connect({ system: this.engine.address, retryWindowMs: 100 });
  }

  async #open(): Promise<void> {
    this.container = await this.system.pool("tank").openContainer("things", { readOnly: false });
  }

  /** Stops the engine in order. */
  async stop(): Promise<void> {
    await this.system.close();
    await this.engine.stop();
  }

  async kill(): Promise<void> {
    await this.system.close();
    await this.engine.kill();
  }

  /** Starts the engine again on the same folder. Rejects with what it printed when it does not come up. */
  async startAgain(): Promise<void> {
    await this.#startEngine();
    await this.#open();
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.storage, { recursive: true, force: true });
  }

  /** The address of target 0. */
  async target(): Promise<{ host: string; port: number }> {
    return (await this.system.query()).map.targets[0]!;
  }

  get management(): { host: string; port: number } {
    const [host, port] = this.engine.address.split(":");
    return { host: host!, port: Number(port) };
  }

  /** Resident memory of the engine, bytes. */
  get residentBytes(): number {
    const status = readFileSync(`/proc/${this.engine.pid}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) * 1024;
  }
}

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), "daos-engine-"));
}

/** Runs `daos ARGS` to its end. */
export async function runDaos(args: readonly string[]): Promise<{ status: number; output: string }> {
  const child = Bun.spawn([process.execPath, MAIN, ...args], { stdout: "pipe", stderr: "pipe" });
  const timer = setTimeout(() => child.kill("SIGKILL"), 30_000);
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  await child.exited;
  clearTimeout(timer);
  return { status: child.exitCode ?? -1, output: stdout + stderr };
}

/** Starts an engine that should refuse to start. Without sizes: they are the storage's. */
export function refusedStart(storage: string, ...args: string[]): Promise<{ status: number; output: string }> {
  return runDaos(["server", "start", "--storage", storage, "--listen", "127.0.0.1:0", ...args]);
}

/** The code that `promise` rejects with, or what it resolved to. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    return `resolved with ${JSON.stringify(await promise)}`;
  } catch (error) {
    return error instanceof DaosError ? error.code : String(error);
  }
}
