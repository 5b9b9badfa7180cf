/**
 * Everything the command line takes from outside: the world, the client library, the server, streams, files and
 * plugins. src/main.ts fills it with the real ones, the tests with their own; src/cli itself touches no process, file
 * or socket.
 */
import type { BenchmarkOptions, BenchmarkResult } from "../client/benchmark.ts";
import type { World } from "../contracts/world.ts";
import type { ConfigurationProblem } from "../engine/configuration.ts";
import type { MetaMigration } from "../engine/meta-migration.ts";
import type { MetaRestore } from "../engine/meta-restore.ts";
import type { SystemErase, SystemEraseOptions } from "../engine/system-erase.ts";
import type { StorageScan } from "../engine/storage-scan.ts";
import type { PluginListReply } from "../format/operations.ts";
import type { ConnectOptions, SystemAccess } from "./client-access.ts";

/** Standard output or standard error. */
export interface OutputStream {
  /** A person watches it: progress bars may be drawn. */
  readonly isTerminal: boolean;
  /**
   * Resolves when the bytes are on their way and more may come (back-pressure); `bytes` are the caller's again then.
   * Rejects with an error whose `code` is "EPIPE" when the reader has gone away.
   */
  write(bytes: Uint8Array): Promise<void>;
}

/** An open file or standard input, read once from front to back. */
export interface ByteSource {
  /** Undefined for what has no known length, such as a pipe. */
  readonly sizeBytes: number | undefined;
  /** Chunks of bounded size (64 KiB to 1 MiB do well), each valid until the next is asked for. */
  readonly chunks: AsyncIterable<Uint8Array>;
}

/** A file being written. Exactly one of `commit` and `abort` ends it. */
export interface FileSink {
  /** Appends. `bytes` are the caller's again when it resolves. */
  write(bytes: Uint8Array): Promise<void>;
  /** The file has its name and its content from now on; before, an earlier file of that name is untouched. */
  commit(): Promise<void>;
  /** Leaves nothing behind. */
  abort(): Promise<void>;
}

/** Local files. Rejections are DaosError NOT_FOUND, PERMISSION, NO_SPACE or IO with a message that names the file. */
export interface FileAccess {
  openSource(path: string): Promise<ByteSource>;
  openSink(path: string): Promise<FileSink>;
}

/** What `daos server start` was told; what is absent comes from the environment, the file or the defaults. */
export interface ServerStartOptions {
  readonly configPath?: string;
  readonly storage?: string;
  readonly listen?: string;
  readonly targets?: number;
  readonly engines?: number;
  readonly join?: string;
  readonly faultDomain?: string;
  readonly scmSizeBytes?: number;
  readonly nvmeSizeBytes?: number;
  /** Print the ready line as JSON. */
  readonly json: boolean;
  /** Stop cleanly when it fires. */
  readonly signal: AbortSignal;
}

/** What `daos storage format` was told. */
export type StorageFormatOptions = Omit<ServerStartOptions, "listen" | "json" | "signal"> & { readonly force: boolean };

/** What `daos system migrate-meta` was told. */
export type MetaMigrationOptions = Pick<ServerStartOptions, "configPath" | "storage">;
/** What `daos system erase` was told. */
export type EraseOptions = MetaMigrationOptions & SystemEraseOptions;

/** The server role, as src/main.ts wires it. */
export interface ServerRole {
  /** Runs an engine until it is stopped; resolves with the exit status. Rejects with DaosError when it cannot start. */
  start(options: ServerStartOptions): Promise<number>;
  /** Makes storage and stops; resolves with its folder. Rejects with ALREADY_EXISTS when it holds something. */
  formatStorage(options: StorageFormatOptions): Promise<string>;
  /** Moves a system's records to the meta store that is configured; see engine/meta-migration.ts. */
  migrateMeta(options: MetaMigrationOptions): Promise<MetaMigration>;
  /** Brings a system's records back from a backup; see engine/meta-restore.ts. */
  restoreMeta(options: MetaMigrationOptions, backup: Uint8Array): Promise<MetaRestore>;
  /** Gives up what the system holds on this host; see engine/system-erase.ts. */
  eraseSystem(options: EraseOptions): Promise<SystemErase>;
  /** The storage of this machine. */
  scanStorage(): Promise<StorageScan>;
  /** Checks a configuration file's text; an empty array means that it is valid. `path` is as the user wrote it. */
  checkConfiguration(text: string, path: string): readonly ConfigurationProblem[];
  /** A commented configuration file. */
  exampleConfiguration(): string;
  /** The plugins this executable holds, for when no engine answers. */
  localPlugins(): Promise<PluginListReply["plugins"]>;
}

export interface CommandEnvironment {
  readonly world: World;
  /** The release, as `daos --version` prints it. */
  readonly version: string;
  /** Fires on SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  /** The process's environment; DAOS_SYSTEM and NO_COLOR are looked at. */
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  /** Called at most once. */
  openStdin(): ByteSource;
  readonly files: FileAccess;
  readonly server: ServerRole;
  connect(world: World, options: ConnectOptions): Promise<SystemAccess>;
  runBenchmark(options: BenchmarkOptions): Promise<BenchmarkResult>;
}
