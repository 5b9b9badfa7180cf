/**
 * A system of several engines as `daos server start --engines` runs it, for tests that kill engines: started from the
 * sources, its engines killed with SIGKILL and started again by their supervisor. While the supervisor is held (SIGSTOP)
 * what dies stays away.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "../crash/storage-daemons.ts";

const REPOSITORY = join(import.meta.dir, "../..");
const READY_TIMEOUT_MS = 60_000;

export interface ClusterOptions {
  readonly storage: string;
  readonly engines: number;
  readonly scmSize: string;
  readonly nvmeSize: string;
  /** Further keys of the configuration file. */
  readonly config?: Readonly<Record<string, unknown>>;
}

export class ClusterProcess {
  readonly address: string;
  readonly engines: number;
  readonly #child: ChildProcess;
  readonly #output: { text: string };

  private constructor(child: ChildProcess, address: string, engines: number, output: { text: string }) {
    this.#child = child;
    this.address = address;
    this.engines = engines;
    this.#output = output;
  }

  /** Resolves when all engines are ready; rejects with what was printed when they do not come up. */
  static start({ storage, engines, scmSize, nvmeSize, config = {} }: ClusterOptions): Promise<ClusterProcess> {
    const path = `${storage}.yml`;
    // JSON is YAML.
    writeFileSync(path, JSON.stringify(config));
    const sizes = ["--targets", "1", "--scm-size", scmSize, "--nvme-size", nvmeSize];
    const place = ["--storage", storage, "--listen", "127.0.0.1:0", "--config", path];
    const args = ["server", "start", "--json", "--engines", String(engines), ...place, ...sizes];
    const child = spawn(process.execPath, [join(REPOSITORY, "src/main.ts"), ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const output = { text: "" };
    return new Promise((resolve, reject) => {
      const timeout = setTimeout(() => {
        child.kill("SIGTERM");
        reject(new Error(`engines were not ready within ${READY_TIMEOUT_MS} ms:\n${output.text}`));
      }, READY_TIMEOUT_MS);
      const read = (chunk: Buffer): void => {
        output.text += chunk.toString();
        const ready = /"ready":true,"address":"([^"]+)"/.exec(output.text);
        if (ready === null) return;
        clearTimeout(timeout);
        resolve(new ClusterProcess(child, ready[1]!, engines, output));
      };
      child.stdout.on("data", read);
      child.stderr.on("data", read);
      child.on("exit", (code, signal) => {
        clearTimeout(timeout);
        reject(new Error(`the supervisor ended (status ${code}, signal ${signal}):\n${output.text}`));
      });
    });
  }

  /** All that was printed. */
  get output(): string {
    return this.#output.text;
  }

  /** Processes of the engines that run. */
  get pids(): number[] {
    return [...this.#engines().values()];
  }

  /** Process of an engine that runs. */
  pidOf(engine: number): number {
    const pid = this.#engines().get(engine);
    if (pid === undefined) throw new Error(`engine ${engine} does not run`);
    return pid;
  }

  /** Kills an engine; resolves when its process is gone. */
  async kill(engine: number): Promise<void> {
    const pid = this.pidOf(engine);
    process.kill(pid, "SIGKILL");
    await until(() => this.#engines().get(engine) !== pid, `engine ${engine} is dead`, READY_TIMEOUT_MS);
  }

  /** How often the supervisor has said that it runs again. */
  restarts(engine: number): number {
    return this.output.split(`engine ${engine}: ready on`).length - 1;
  }

  /** Resolves when it has been started again more often than `before`. */
  untilRestarted(engine: number, before: number): Promise<void> {
    return until(() => this.restarts(engine) > before, `engine ${engine} runs again`, READY_TIMEOUT_MS);
  }

  /** From now on what dies stays away. */
  hold(): void {
    this.#child.kill("SIGSTOP");
  }

  release(): void {
    this.#child.kill("SIGCONT");
  }

  /** Stops all engines in good order. */
  stop(): Promise<void> {
    return this.#end("SIGTERM");
  }

  /** Kills the supervisor and all engines at once. */
  async killAll(): Promise<void> {
    const { pids } = this;
    const ended = this.#end("SIGKILL");
    for (const pid of pids) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It was gone already.
      }
    }
    await ended;
    await until(() => pids.every((pid) => parentOf(pid) === undefined), "all engines are dead", READY_TIMEOUT_MS);
  }

  #end(signal: NodeJS.Signals): Promise<void> {
    return new Promise((resolve) => {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
        resolve();
        return;
      }
      this.#child.once("exit", () => resolve());
      this.#child.kill(signal);
      this.release();
    });
  }

  /** Process of each engine that runs, by number: children of the supervisor, told apart by their folders. */
  #engines(): Map<number, number> {
    const found = new Map<number, number>();
    for (const name of readdirSync("/proc")) {
      const pid = Number(name);
      if (!Number.isInteger(pid) || parentOf(pid) !== this.#child.pid) continue;
      const folder = /\/engine(\d+)\0/.exec(commandOf(pid));
      if (folder !== null) found.set(Number(folder[1]), pid);
    }
    return found;
  }
}

/** Undefined for a process that is gone, or dead and not buried. */
function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return state === "Z" ? undefined : Number(parent);
  } catch {
    return undefined;
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}
