/**
 * A host of the fault rounds: a network namespace, a disk of its own, and one engine that an init system keeps running.
 * Its clock is that of the machine and an offset where libfaketime is installed.
 */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { Daemon } from "./daemon.ts";
import { HostDisk } from "./host-disk.ts";
import type { FaultNetwork } from "./network.ts";

const MAIN = join(import.meta.dir, "../../../src/main.ts");
const PORT = 10_001;
const CLOCK_LIBRARY = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
const SCM_SIZE = "192MiB";
const NVME_SIZE = "768MiB";
const DISK_BYTES = 1280 * 2 ** 20;
const LOG_LINES = 40;

/** Clocks can be set in here. */
export const CLOCKS_CAN_JUMP = existsSync(CLOCK_LIBRARY);

export interface HostOptions {
  readonly index: number;
  readonly folder: string;
  readonly network: FaultNetwork;
  readonly etcd: readonly string[];
  /** Addresses of the engines of other hosts, for one that is new. */
  readonly others: () => readonly string[];
}

export class FaultHost {
  readonly index: number;
  readonly address: string;
  readonly disk: HostDisk;
  readonly engine: Daemon;
  readonly #options: HostOptions;
  readonly #clock: string;
  readonly #log: string;
  #attempts = 0;
  #isNew: boolean;

  constructor(options: HostOptions) {
    const { index, folder, network, etcd } = options;
    this.#options = options;
    this.index = index;
    this.address = `${network.address(index)}:${PORT}`;
    this.disk = new HostDisk(index, folder, DISK_BYTES);
    this.#clock = join(folder, `h${index}.clock`);
    this.#log = join(folder, `h${index}.log`);
    this.#isNew = index > 0;
    this.setClock(0);
    const config = {
      listen: this.address,
      storage: this.#storage,
      targets: 1,
      fault_domain: `/h${index}`,
      scm: { size: SCM_SIZE },
      nvme: { size: NVME_SIZE },
      meta_store: { plugin: "etcd", config: { endpoints: etcd } },
      transport_config: { allow_insecure: true },
    };
    // JSON is YAML.
    writeFileSync(this.#config, JSON.stringify(config));
    this.engine = new Daemon({
      command: () => this.#command(),
      environment: CLOCKS_CAN_JUMP ? this.#clockVariables() : {},
      log: this.#log,
      started: (pid) => this.disk.adopt(pid),
    });
  }

  /** Seconds that the host's clock is ahead of the machine's. */
  setClock(seconds: number): void {
    writeFileSync(this.#clock, `${seconds < 0 ? "" : "+"}${seconds}\n`);
  }

  /** Gives the host an empty disk; while its engine is dead. It joins as a new engine when it is started. */
  replaceDisk(): void {
    rmSync(this.#storage, { recursive: true, force: true });
    this.#isNew = true;
  }

  /** Files of this name in the folders of its targets. */
  files(name: string): string[] {
    const paths = readdirSync(this.#storage, { recursive: true, encoding: "utf8" });
    return paths.filter((path) => basename(path) === name).map((path) => join(this.#storage, path));
  }

  /** The last lines that its engine printed. */
  get lastWords(): string {
    return readFileSync(this.#log, "utf8").trimEnd().split("\n").slice(-LOG_LINES).join("\n");
  }

  get #storage(): string {
    return join(this.disk.folder, "storage");
  }

  get #config(): string {
    return join(this.#options.folder, `h${this.index}.yml`);
  }

  /** A new engine asks the others in turn. */
  #command(): string[] {
    const { network, others } = this.#options;
    const known = others();
    const join_ = this.#isNew ? ["--join", known[this.#attempts++ % known.length]!] : [];
    const start = ["server", "start", "--config", this.#config, ...join_];
    return [...network.enter(this.index), process.execPath, MAIN, ...start];
  }

  #clockVariables(): Record<string, string> {
    return {
      LD_PRELOAD: CLOCK_LIBRARY,
      FAKETIME_TIMESTAMP_FILE: this.#clock,
      FAKETIME_CACHE_DURATION: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      DONT_FAKE_MONOTONIC: "1",
    };
  }
}
