/**
 * Runs command lines against a fake system, with captured streams, files in memory and a clock that tests move.
 */
import { DaosError } from "../../src/base/errors.ts";
import type { ConnectOptions, SystemAccess } from "../../src/cli/client-access.ts";
import type { BenchmarkOptions, BenchmarkResult } from "../../src/client/benchmark.ts";
import { runCommandLine } from "../../src/cli/command-line.ts";
import type {
  ByteSource,
  CommandEnvironment,
  FileAccess,
  FileSink,
  OutputStream,
  ServerStartOptions,
  StorageFormatOptions,
} from "../../src/cli/environment.ts";
import type { Clock, Timers, World } from "../../src/contracts/world.ts";
import type { ConfigurationProblem } from "../../src/engine/configuration.ts";
import type { StorageScan } from "../../src/engine/storage-scan.ts";
import type { PluginListReply } from "../../src/format/operations.ts";
import { FakeSystem } from "./fake-client.ts";

export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly stdoutBytes: Uint8Array;
}

/** A clock that stands still until `advance`, which runs the timers that fall due. */
export class ManualTime implements Clock, Timers {
  #nowMs = 0;
  #timers: { atMs: number; callback: () => void }[] = [];

  wallMs(): number {
    return Date.UTC(2026, 0, 1) + this.#nowMs;
  }

  monotonicNs(): number {
    return this.#nowMs * 1e6;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, callback };
    this.#timers.push(timer);
    return () => (this.#timers = this.#timers.filter((other) => other !== timer));
  }

  soon(callback: () => void): void {
    this.after(0, callback);
  }

  get pending(): number {
    return this.#timers.length;
  }

  advance(durationMs: number): void {
    const endMs = this.#nowMs + durationMs;
    for (;;) {
      const due = this.#timers.filter(({ atMs }) => atMs <= endMs).toSorted((left, right) => left.atMs - right.atMs)[0];
      if (due === undefined) break;
      this.#timers = this.#timers.filter((other) => other !== due);
      this.#nowMs = due.atMs;
      due.callback();
    }
    this.#nowMs = endMs;
  }
}

export class CapturedStream implements OutputStream {
  isTerminal = false;
  readonly chunks: Buffer[] = [];
  /** Writes after so many bytes reject as a closed pipe does. */
  brokenAfterBytes = Number.POSITIVE_INFINITY;

  async write(bytes: Uint8Array): Promise<void> {
    if (this.sizeBytes + bytes.length > this.brokenAfterBytes) {
      throw Object.assign(new Error("write EPIPE"), { code: "EPIPE" });
    }
    this.chunks.push(Buffer.from(bytes));
  }

  get sizeBytes(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  take(): Buffer {
    return Buffer.concat(this.chunks.splice(0));
  }
}

export class MemoryFiles implements FileAccess {
  readonly contents = new Map<string, Uint8Array>();
  aborted = 0;
  /** Files of unknown length, as pipes are. */
  hideSizes = false;
  /** Rejects writes to a sink after so many bytes. */
  fullAfterBytes = Number.POSITIVE_INFINITY;

  async openSource(path: string): Promise<ByteSource> {
    const bytes = this.contents.get(path);
    if (bytes === undefined) {
      throw new DaosError("NOT_FOUND", `Cannot read "${path}": there is no such file. Check the path.`);
    }
    return { sizeBytes: this.hideSizes ? undefined : bytes.length, chunks: chunksOf(bytes) };
  }

  async openSink(path: string): Promise<FileSink> {
    const chunks: Uint8Array[] = [];
    let sizeBytes = 0;
    return {
      write: async (bytes) => {
        sizeBytes += bytes.length;
        if (sizeBytes > this.fullAfterBytes)
          throw new DaosError("NO_SPACE", `Cannot write "${path}": the disk is full. Make room.`);
        chunks.push(Uint8Array.from(bytes));
      },
      commit: async () => void this.contents.set(path, Buffer.concat(chunks)),
      abort: async () => void (this.aborted += 1),
    };
  }
}

async function* chunksOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  const shared = new Uint8Array(700);
  for (let at = 0; at < bytes.length; at += shared.length) {
    const chunk = bytes.subarray(at, at + shared.length);
    shared.set(chunk);
    // The same memory every time: whoever keeps it without a copy fails the test.
    yield shared.subarray(0, chunk.length);
  }
}

export class Harness {
  readonly system = new FakeSystem();
  readonly time = new ManualTime();
  readonly stdout = new CapturedStream();
  readonly stderr = new CapturedStream();
  readonly files = new MemoryFiles();
  readonly variables: Record<string, string | undefined> = {};
  readonly connects: ConnectOptions[] = [];
  readonly starts: ServerStartOptions[] = [];
  readonly formats: StorageFormatOptions[] = [];
  scan: StorageScan = { blockDevices: [], nvme: [], persistentMemory: [], hugePages: [], missing: [] };
  /** Backups that were restored. */
  readonly restored: string[] = [];
  readonly benchmarks: BenchmarkOptions[] = [];
  /** What is wrong with a configuration file, by its path; those not named are valid. */
  readonly problemsOf = new Map<string, readonly ConfigurationProblem[]>();
  /** A stopped engine does not answer again. */
  stopsAtOnce = false;
  localPlugins: PluginListReply["plugins"] = [];
  stdin: Uint8Array | AsyncIterable<Uint8Array> = new Uint8Array();
  abort = new AbortController();
  /** Errors that connecting gives, one after the other; afterwards it succeeds. */
  readonly connectErrors: (DaosError | undefined)[] = [];
  benchmark: (options: BenchmarkOptions) => Promise<BenchmarkResult> = () => {
    throw new Error("this test set no benchmark");
  };

  get environment(): CommandEnvironment {
    return {
      world: { clock: this.time, timers: this.time } as unknown as World,
      version: "0.1.0",
      signal: this.abort.signal,
      variables: this.variables,
      stdout: this.stdout,
      stderr: this.stderr,
      files: this.files,
      openStdin: () => ({
        sizeBytes: undefined,
        chunks: this.stdin instanceof Uint8Array ? chunksOf(this.stdin) : this.stdin,
      }),
      server: {
        start: async (options) => {
          this.starts.push(options);
          return 0;
        },
        formatStorage: async (options) => {
          this.formats.push(options);
          if (options.force) return options.storage ?? "/var/lib/daos";
          const state = "it is formatted and may hold data. Use another folder, or --force";
          throw new DaosError("ALREADY_EXISTS", `Cannot format storage "/var/lib/daos": ${state}.`);
        },
        migrateMeta: async ({ storage = "/var/lib/daos" }) => ({ storage, from: "sqlite", to: "etcd", records: 7 }),
        restoreMeta: async ({ storage = "/var/lib/daos" }, backup) => {
          this.restored.push(Buffer.from(backup).toString());
          return { storage, system: "daos_server", to: "etcd", records: 7, takenAtMs: Date.UTC(2026, 0, 1) };
        },
        eraseSystem: async ({ storage = "/var/lib/daos", confirm, force }) => {
          if (confirm === "daos_server") return { storages: [`${storage}/engine0`], records: force ? 0 : 7 };
          const state = `--confirm says "${confirm}", and the system is "daos_server"`;
          throw new DaosError("CONFIGURATION", `Cannot erase the system: ${state}. Give its name if it is meant.`);
        },
        scanStorage: async () => this.scan,
        checkConfiguration: (_text, path) => this.problemsOf.get(path) ?? [],
        exampleConfiguration: () => "# example\nname: daos_server\n",
        localPlugins: async () => this.localPlugins,
      },
      connect: async (_world, options): Promise<SystemAccess> => {
        this.connects.push(options);
        const error = this.connectErrors.shift();
        if (error !== undefined) throw error;
        if (this.stopsAtOnce && this.system.stopped) throw unreachable();
        return this.system;
      },
      runBenchmark: (options) => {
        this.benchmarks.push(options);
        return this.benchmark(options);
      },
    };
  }

  /** Runs the words of a line; use an array when a word has blanks. */
  async run(line: string | readonly string[]): Promise<Outcome> {
    const words = typeof line === "string" ? line.split(" ").filter((word) => word !== "") : line;
    const status = await runCommandLine(words, this.environment);
    const stdoutBytes = this.stdout.take();
    return { status, stdout: stdoutBytes.toString("utf8"), stderr: this.stderr.take().toString("utf8"), stdoutBytes };
  }

  /** Runs and parses standard output as one JSON value. */
  // oxlint-disable-next-line no-explicit-any -- tests look into every shape there is
  async json(line: string | readonly string[]): Promise<{ status: number; value: any; stderr: string }> {
    const words = typeof line === "string" ? `${line} --json` : [...line, "--json"];
    const { status, stdout, stderr } = await this.run(words);
    return { status, value: JSON.parse(stdout), stderr };
  }
}

/** A harness with pool `tank` and the containers `demo` (kv) and `bulk` (object). */
export async function prepared(): Promise<Harness> {
  const harness = new Harness();
  await harness.run("pool create tank --size 4GiB");
  await harness.run("container create tank demo --type kv");
  await harness.run("container create tank bulk");
  return harness;
}

/** The error of a reachable-by-nobody system. */
export function unreachable(): DaosError {
  return new DaosError("UNAVAILABLE", 'Cannot reach system "127.0.0.1:10001": no engine answers. Start an engine.');
}
