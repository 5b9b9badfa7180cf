/**
 * One run of one command: its output, its connection to the system (opened when first needed, closed at the end), and
 * the containers it opened. Commands get everything from here.
 */
import type { Epoch } from "../base/epoch.ts";
import { parseSystemAddresses } from "../client/system-address.ts";
import { checkedArgument } from "./arguments.ts";
import type { ContainerAccess, ContainerViewAccess, PoolAccess, SystemAccess } from "./client-access.ts";
import type { CommandEnvironment } from "./environment.ts";
import type { Output } from "./output.ts";
import { Progress, type ProgressOptions } from "./progress.ts";

export const DEFAULT_SYSTEM = "127.0.0.1:10001";
export const DEFAULT_TIMEOUT_MS = 30_000;

export interface SessionOptions {
  /** `--system`; absent when not given. */
  readonly system: string | undefined;
  readonly timeoutMs: number;
}

export class Session {
  readonly environment: CommandEnvironment;
  readonly output: Output;
  readonly timeoutMs: number;
  /** Addresses to ask, `host:port[,host:port]`. */
  readonly address: string;
  /** The user named the system, by flag or environment; else the default is tried. */
  readonly addressGiven: boolean;
  #system: Promise<SystemAccess> | undefined;

  constructor(environment: CommandEnvironment, output: Output, options: SessionOptions) {
    const given = options.system ?? (environment.variables["DAOS_SYSTEM"] || undefined);
    this.environment = environment;
    this.output = output;
    this.timeoutMs = options.timeoutMs;
    this.address = given ?? DEFAULT_SYSTEM;
    checkedArgument(() => parseSystemAddresses(this.address));
    this.addressGiven = given !== undefined;
  }

  get signal(): AbortSignal {
    return this.environment.signal;
  }

  /** For calls that take nothing else. */
  get cancelable(): { readonly signal: AbortSignal } {
    return { signal: this.environment.signal };
  }

  /** The system; connects at the first call. */
  system(): Promise<SystemAccess> {
    const { environment, address, timeoutMs, signal } = this;
    this.#system ??= environment.connect(environment.world, { system: address, timeoutMs, signal });
    return this.#system;
  }

  async pool(label: string): Promise<PoolAccess> {
    return (await this.system()).pool(label);
  }

  /** Opens a container; it is closed with the session. */
  async openContainer(pool: string, label: string, options: { readOnly: boolean }): Promise<ContainerAccess> {
    return await (await this.pool(pool)).openContainer(label, { ...options, signal: this.signal });
  }

  /** Opens a container to read from, at a snapshot's name, an epoch, or the latest state. */
  async openView(pool: string, label: string, at: string | Epoch | undefined): Promise<ContainerViewAccess> {
    const container = await this.openContainer(pool, label, { readOnly: true });
    return at === undefined ? container : await container.at(at, { signal: this.signal });
  }

  /** Resolves after this time, or when the command is canceled. */
  pause(delayMs: number): Promise<void> {
    const { signal } = this;
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.environment.world.timers.after(delayMs, () => {
        signal.removeEventListener("abort", end);
        resolve();
      });
      const end = (): void => {
        cancel();
        resolve();
      };
      signal.addEventListener("abort", end, { once: true });
    });
  }

  /** Shows progress while `work` runs. */
  async withProgress<Result>(options: ProgressOptions, work: (progress: Progress) => Promise<Result>): Promise<Result> {
    const { stderr, world } = this.environment;
    const progress = new Progress(stderr, world.clock, world.timers, options);
    try {
      return await work(progress);
    } finally {
      await progress.end();
    }
  }

  /** Closes what was opened. The command is over: what fails here changes nothing that was acknowledged. */
  async close(): Promise<void> {
    const system = await this.#system?.catch(() => undefined);
    await system?.close().catch(() => {});
  }
}
