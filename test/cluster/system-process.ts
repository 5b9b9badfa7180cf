/**
 * A system of engine processes as an admin starts it: `daos server start --engines N`, from the sources, on free ports; what
 * it prints; and the pids of its engines, for tests that kill one.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type System } from "../../src/library.ts";

const MAIN = join(import.meta.dir, "../../src/main.ts");
const SIZES = ["--targets", "1", "--scm-size", "64MiB", "--nvme-size", "256MiB"];
const WAIT_MS = 25_000;
const POLL_MS = 50;

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), "daos-cluster-"));
}

/** `daos ARGS`, running. */
export class DaosProcess {
  readonly #child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly #read: Promise<unknown>;
  output = "";

  constructor(args: readonly string[], environment: Record<string, string> = {}) {
    this.#child = Bun.spawn([process.execPath, MAIN, ...args], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, ...environment },
    });
    this.#read = Promise.all([this.#child.stdout, this.#child.stderr].map((stream) => this.#gather(stream)));
  }

  async #gather(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of stream) this.output += decoder.decode(bytes, { stream: true });
  }

  get pid(): number {
    return this.#child.pid;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** The first match in what it prints. Rejects with all of that when the process ends without. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    await until(
      () => pattern.test(this.output) || !this.isRunning,
      () => this.output,
    );
    const match = pattern.exec(this.output);
    if (match === null) throw new Error(`the process ended without ${pattern}:\n${this.output}`);
    return match;
  }

  /** Its exit status. */
  async ended(): Promise<number> {
    await this.#child.exited;
    await this.#read;
    return this.#child.exitCode ?? -1;
  }

  async signal(name: "SIGTERM" | "SIGKILL"): Promise<number> {
    this.#child.kill(name);
    return this.ended();
  }
}

/** Waits for a condition; rejects with `state` when it does not come. */
export async function until(condition: () => boolean | Promise<boolean>, state: () => string): Promise<void> {
  const deadlineMs = performance.now() + WAIT_MS;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error(`it has not come within ${WAIT_MS} ms: ${state()}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Arguments of a start on a folder, port chosen by the system. */
export function startArguments(storage: string, ...more: string[]): string[] {
  return ["server", "start", "--storage", storage, "--listen", "127.0.0.1:0", ...SIZES, ...more];
}

export class SystemProcess {
  readonly storage: string;
  readonly process: DaosProcess;
  readonly address: string;
  readonly system: System;

  private constructor(storage: string, process: DaosProcess, address: string, system: System) {
    this.storage = storage;
    this.process = process;
    this.address = address;
    this.system = system;
  }

  /** On `storage`, or a new folder. */
  static async start(
    engines: number,
    options: { storage?: string; environment?: Record<string, string>; args?: readonly string[] } = {},
  ): Promise<SystemProcess> {
    const storage = options.storage ?? temporaryFolder();
    const process = new DaosProcess(
      startArguments(storage, "--engines", String(engines), ...(options.args ?? [])),
      options.environment,
    );
    const address = (await process.printed(/daos system ready on (\S+)/))[1]!;
    return new SystemProcess(storage, process, address, await connect({ system: address }));
  }

  /** Pid of the process that runs engine `index`. */
  enginePid(index: number): number {
    const folder = join(this.storage, `engine${index}`);
    const lines = Bun.spawnSync(["ps", "-eo", "pid=,args="]).stdout.toString().split("\n");
    const line = lines.find((text) => text.includes(`--storage ${folder} `));
    if (line === undefined) throw new Error(`engine ${index} does not run`);
    return Number.parseInt(line.trim(), 10);
  }

  killEngine(index: number): void {
    process.kill(this.enginePid(index), "SIGKILL");
  }

  /** The state of each rank. */
  async states(): Promise<string[]> {
    return ((await this.system.query()).engines ?? []).map(({ state }) => state);
  }

  /** Runs `daos ARGS` against this system. */
  async daos(...args: string[]): Promise<{ status: number; output: string }> {
    const child = new DaosProcess([...args, "--system", this.address]);
    return { status: await child.ended(), output: child.output };
  }

  async stop(): Promise<void> {
    await this.system.close();
    if (this.process.isRunning) await this.process.signal("SIGTERM");
  }

  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.storage, { recursive: true, force: true });
  }
}
