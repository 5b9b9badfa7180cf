/**
 * Runs a qemu-storage-daemon (Debian package qemu-system-common) that serves one device on a socket: an NVMe device over
 * VFIO, a block device of the kernel, or a file. Started again with growing pauses whenever it ends by itself, or hangs
 * before it listens (QEMU's NVMe driver was seen to, on a device that had just been reset), or after it hung up (QEMU 7.2
 * does when it gets SIGTERM while requests are in flight); stopped by its pid, which is in
 * a file beside the socket for whoever looks. One that an earlier, killed process of ours left behind is found by its
 * arguments and ended first: it would keep the device.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { DaosError } from "../../../src/base/errors.ts";
import type { Clock, Timers } from "../../../src/contracts/world.ts";
import type { BackEnd } from "./back-end.ts";
import { daemonsOn, isDaemonOn } from "./daemon-processes.ts";
import { RestartPause } from "./restart-pause.ts";

const START_TIMEOUT_MS = 20_000;
/** One that hangs is killed and started again, so often. */
const START_ATTEMPTS = 3;
/** An NVMe device is drained and reset before the daemon ends. */
const STOP_TIMEOUT_MS = 10_000;
/** One that hung up, lives and does not answer for so long is killed; so is a left-over that does not end. */
const HUNG_UP_TIMEOUT_MS = 2_000;
const LOOK_EVERY_MS = 10;
const MAX_OUTPUT_BYTES = 4096;
/** Longest path of a unix socket. */
const MAX_SOCKET_PATH_BYTES = 107;

export interface QemuStorageDaemonOptions {
  readonly timers: Timers;
  readonly clock: Clock;
  readonly program: string;
  /** What messages call the device. */
  readonly deviceName: string;
  /** A block node as of `--blockdev`, without `node-name`. */
  readonly blockdev: Readonly<Record<string, unknown>>;
  readonly socketPath: string;
  readonly queues: number;
  readonly blockBytes: number;
  readonly writable: boolean;
  /** How long its thread polls before it sleeps, nanoseconds. */
  readonly pollMaxNs: number;
}

export class QemuStorageDaemon implements BackEnd {
  readonly deviceName: string;
  readonly #options: QemuStorageDaemonOptions;
  #child: ChildProcess | undefined;
  /** The one that the connection is, or was last, with. */
  #serving: ChildProcess | undefined;
  #output = "";
  #stopped = false;
  #starting = false;
  #hangs = 0;
  #startedNs = 0;
  readonly #pause = new RestartPause();
  #cancelRestart: (() => void) | undefined;
  #cancelWatch: (() => void) | undefined;
  #cancelHungUp: (() => void) | undefined;
  #restarts = 0;

  constructor(options: QemuStorageDaemonOptions) {
    this.#options = options;
    this.deviceName = options.deviceName;
  }

  /** Of the daemon that runs; undefined when none does. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** How often it was started again. */
  get restarts(): number {
    return this.#restarts;
  }

  async start(): Promise<string> {
    const { socketPath } = this.#options;
    if (Buffer.byteLength(socketPath) > MAX_SOCKET_PATH_BYTES) {
      const state = `a unix socket's path has at most ${MAX_SOCKET_PATH_BYTES} bytes`;
      throw new DaosError("CONFIGURATION", `Cannot listen on "${socketPath}": ${state}. Set socket_folder.`);
    }
    mkdirSync(dirname(socketPath), { recursive: true });
    await this.#endLeftOver();
    this.#starting = true;
    for (let attempt = 1; !(await this.#startOnce()); attempt += 1) {
      if (this.#hangs >= attempt && attempt < START_ATTEMPTS) continue;
      const error = this.#startError();
      await this.stop();
      throw error;
    }
    this.#starting = false;
    this.#serving = this.#child;
    return socketPath;
  }

  /** The end of the process is seen by itself. One that only hung up must take the connection again soon. */
  lost(): void {
    const child = this.#serving;
    if (child === undefined || child !== this.#child || this.#stopped) return;
    this.#cancelHungUp?.();
    this.#cancelHungUp = this.#options.timers.after(HUNG_UP_TIMEOUT_MS, () => {
      if (this.#child === child) child.kill("SIGKILL");
    });
  }

  restored(): void {
    this.#serving = this.#child;
    this.#cancelHungUp?.();
  }

  doubt(): void {}

  isRemoved(): boolean {
    return false;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelRestart?.();
    this.#cancelWatch?.();
    this.#cancelHungUp?.();
    const child = this.#child;
    if (child?.pid !== undefined) {
      child.kill("SIGTERM");
      if (!(await this.#until(() => this.#child === undefined, STOP_TIMEOUT_MS))) child.kill("SIGKILL");
      await this.#until(() => this.#child === undefined, STOP_TIMEOUT_MS);
    }
    rmSync(this.#options.socketPath, { force: true });
    rmSync(this.#pidPath, { force: true });
  }

  get #pidPath(): string {
    return `${this.#options.socketPath}.pid`;
  }

  #spawn(): void {
    const { program, socketPath } = this.#options;
    rmSync(socketPath, { force: true });
    this.#output = "";
    this.#startedNs = this.#options.clock.monotonicNs();
    // A session of its own: Ctrl-C is for the engine, which needs the device until its log is settled.
    const child = spawn(program, daemonArguments(this.#options), {
      stdio: ["ignore", "ignore", "pipe"],
      detached: true,
    });
    this.#child = child;
    child.stderr.on("data", (chunk: Buffer) => {
      this.#output = (this.#output + chunk.toString()).slice(-MAX_OUTPUT_BYTES);
    });
    child.on("error", (error) => {
      this.#output = `${this.#output}${error.message}`;
      if (child.pid === undefined) this.#ended(child);
    });
    child.on("exit", () => this.#ended(child));
    if (child.pid !== undefined) writeFileSync(this.#pidPath, `${child.pid}\n`);
    this.#cancelWatch = this.#options.timers.after(START_TIMEOUT_MS, () => {
      if (this.#child !== child || existsSync(socketPath)) return;
      this.#hangs += 1;
      child.kill("SIGKILL");
    });
  }

  #ended(child: ChildProcess): void {
    if (this.#child !== child) return;
    this.#child = undefined;
    this.#cancelWatch?.();
    if (this.#stopped || this.#starting) return;
    const ranMs = (this.#options.clock.monotonicNs() - this.#startedNs) / 1e6;
    this.#cancelRestart = this.#options.timers.after(this.#pause.after(ranMs), () => {
      this.#restarts += 1;
      this.#spawn();
    });
  }

  /** Resolves with whether the socket came; without it the process has ended. */
  async #startOnce(): Promise<boolean> {
    this.#spawn();
    const child = this.#child;
    const decided = (): boolean => existsSync(this.#options.socketPath) || this.#child !== child;
    await this.#until(decided, 2 * START_TIMEOUT_MS);
    return this.#child === child && existsSync(this.#options.socketPath);
  }

  #startError(): DaosError {
    const { program, deviceName } = this.#options;
    const said = this.#output.trim() || "it says nothing";
    const state =
      this.#hangs > 0 ? `${program} is not ready after ${START_TIMEOUT_MS / 1000} s` : `${program} ended: ${said}`;
    const advice = /ENOENT|not found/i.test(said)
      ? "Install qemu-system-common (Debian package name)"
      : "Check the device, its driver (vfio-pci for NVMe) and the rights on both";
    return new DaosError("UNAVAILABLE", `Cannot serve "${deviceName}": ${state}. ${advice}.`);
  }

  /** Ends every daemon that exports on this socket. */
  async #endLeftOver(): Promise<void> {
    const { socketPath } = this.#options;
    for (const pid of daemonsOn(socketPath)) {
      const runs = (): boolean => isDaemonOn(pid, socketPath);
      // Nobody waits for what it has in flight, with which it often never ends in good order.
      for (const [signal, timeoutMs] of [
        ["SIGTERM", HUNG_UP_TIMEOUT_MS],
        ["SIGKILL", STOP_TIMEOUT_MS],
      ] as const) {
        if (!runs()) break;
        try {
          process.kill(pid, signal);
        } catch {
          break;
        }
        await this.#until(() => !runs(), timeoutMs);
      }
      if (!runs()) continue;
      const state = `process ${pid} of an earlier run keeps it`;
      throw new DaosError("BUSY", `Cannot serve "${this.deviceName}": ${state}. End that process.`);
    }
    rmSync(this.#pidPath, { force: true });
  }

  /** Resolves with whether the condition came true in time. */
  #until(condition: () => boolean, timeoutMs: number): Promise<boolean> {
    const { timers, clock } = this.#options;
    const deadlineNs = clock.monotonicNs() + timeoutMs * 1e6;
    return new Promise((resolve) => {
      const look = (): void => {
        if (condition()) resolve(true);
        else if (clock.monotonicNs() >= deadlineNs) resolve(false);
        else timers.after(LOOK_EVERY_MS, look);
      };
      look();
    });
  }
}

/** The arguments of the daemon; as JSON, so that no character of a path has a meaning. */
export function daemonArguments(options: QemuStorageDaemonOptions): string[] {
  const { blockdev, socketPath, queues, blockBytes, writable, pollMaxNs } = options;
  const exported = {
    type: "vhost-user-blk",
    id: "export",
    "node-name": "device",
    addr: { type: "unix", path: socketPath },
    writable,
    "num-queues": queues,
    "logical-block-size": blockBytes,
    iothread: "io",
  };
  return [
    "--object",
    JSON.stringify({ "qom-type": "iothread", id: "io", "poll-max-ns": pollMaxNs }),
    "--blockdev",
    JSON.stringify({ ...blockdev, "node-name": "device" }),
    "--export",
    JSON.stringify(exported),
  ];
}
