/**
 * A process that is kept running, as an init system does (`Restart=always`): one that ends without being told to is
 * started again a second later. Its ends are remembered. Only what was started here is ever signalled.
 */
import { openSync } from "node:fs";
import { delay } from "./shell.ts";

const RESTART_MS = 1_000;

export interface DaemonOptions {
  /** Asked anew for each start. */
  readonly command: () => readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** What it prints is appended to this file. */
  readonly log: string;
  readonly started: (pid: number) => void;
}

export class Daemon {
  readonly #options: DaemonOptions;
  readonly #log: number;
  #child: Bun.Subprocess | undefined;
  #isWanted = false;
  /** How it ended without being killed here, since that was asked last. */
  #ends: string[] = [];

  constructor(options: DaemonOptions) {
    this.#options = options;
    this.#log = openSync(options.log, "a");
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Status or signal of each end of its own since the last call. */
  takeEnds(): string[] {
    const ends = this.#ends;
    this.#ends = [];
    return ends;
  }

  start(): void {
    this.#isWanted = true;
    this.#spawn();
  }

  #spawn(): void {
    const child = Bun.spawn([...this.#options.command()], {
      stdin: "ignore",
      stdout: this.#log,
      stderr: this.#log,
      env: { ...process.env, ...this.#options.environment },
    });
    this.#child = child;
    this.#options.started(child.pid);
    void this.#watch(child);
  }

  /** Ends it at once; it stays away until it is started. */
  async kill(): Promise<void> {
    this.#isWanted = false;
    const child = this.#child;
    child?.kill("SIGKILL");
    await child?.exited;
  }

  signal(name: "SIGSTOP" | "SIGCONT"): void {
    this.#child?.kill(name);
  }

  async #watch(child: Bun.Subprocess): Promise<void> {
    await child.exited;
    if (!this.#isWanted) return;
    this.#ends.push(String(child.signalCode ?? `status ${child.exitCode}`));
    await delay(RESTART_MS);
    if (this.#isWanted && this.#child === child) this.#spawn();
  }
}
