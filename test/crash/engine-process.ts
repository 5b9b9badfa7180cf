/**
 * An engine as a process of its own, for tests that kill it: started from the sources, killed with SIGKILL, started
 * again on the same folder.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

const REPOSITORY = join(import.meta.dir, "../..");
const READY_TIMEOUT_MS = 60_000;

export interface TierOptions {
  readonly plugin: string;
  readonly config?: Readonly<Record<string, unknown>>;
}

export interface EngineProcessOptions {
  readonly storage: string;
  readonly scmSize?: string;
  readonly nvmeSize?: string;
  readonly targets?: number;
  /** Plugins of the tiers and their settings; the best of this machine unless given. */
  readonly scm?: TierOptions;
  readonly nvme?: TierOptions;
  /** Run this executable instead of the sources. */
  readonly executable?: string;
}

export class EngineProcess {
  readonly address: string;
  readonly startedMs: number;
  readonly #child: ChildProcess;
  readonly #output: () => string;

  private constructor(child: ChildProcess, address: string, startedMs: number, output: () => string) {
    this.#output = output;
    this.#child = child;
    this.address = address;
    this.startedMs = startedMs;
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** The last of what it printed. */
  get output(): string {
    return this.#output();
  }

  /** Resolves when the engine has printed its ready line; rejects with all it printed when it ends before that. */
  static start(options: EngineProcessOptions): Promise<EngineProcess> {
    const command =
      options.executable === undefined ? [process.execPath, join(REPOSITORY, "src/main.ts")] : [options.executable];
    const args = [...command.slice(1), "server", "start", "--storage", options.storage, "--listen", "127.0.0.1:0"];
    if (options.scm !== undefined || options.nvme !== undefined) {
      // JSON is YAML.
      const path = `${options.storage}.yml`;
      writeFileSync(path, JSON.stringify({ scm: options.scm, nvme: options.nvme }));
      args.push("--config", path);
    }
    if (options.scmSize !== undefined) args.push("--scm-size", options.scmSize);
    if (options.nvmeSize !== undefined) args.push("--nvme-size", options.nvmeSize);
    if (options.targets !== undefined) args.push("--targets", String(options.targets));
    const startMs = performance.now();
    const child = spawn(command[0]!, args, { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    return new Promise((resolve, reject) => {
      const timeout = setTimeout(() => {
        child.kill("SIGKILL");
        reject(new Error(`engine was not ready within ${READY_TIMEOUT_MS} ms:\n${output}`));
      }, READY_TIMEOUT_MS);
      const read = (chunk: Buffer): void => {
        output = (output + chunk.toString()).slice(-65536);
        const ready = /ready on (\S+:\d+)/.exec(output);
        if (ready === null) return;
        clearTimeout(timeout);
        resolve(new EngineProcess(child, ready[1]!, performance.now() - startMs, () => output));
      };
      child.stdout!.on("data", read);
      child.stderr!.on("data", read);
      child.on("exit", (code, signal) => {
        clearTimeout(timeout);
        reject(new Error(`engine ended (status ${code}, signal ${signal}):\n${output}`));
      });
    });
  }

  /** Ends it at once, as a power switch would for the process. */
  kill(): Promise<void> {
    return this.#end("SIGKILL");
  }

  /** Asks it to stop and waits. */
  stop(): Promise<void> {
    return this.#end("SIGTERM");
  }

  #end(signal: NodeJS.Signals): Promise<void> {
    return new Promise((resolve) => {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
        resolve();
        return;
      }
      this.#child.once("exit", () => resolve());
      this.#child.kill(signal);
    });
  }
}
