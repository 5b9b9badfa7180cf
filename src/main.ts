/**
 * `daos`: the composition root of the process. Joins the real world, the plugins, the client library and the engine, and
 * hands them to the command line; the subcommand selects the role. Exit status: 0 done, 1 failed, 2 wrong call or
 * configuration, 70 a bug (with its stack on standard error).
 */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import packageFile from "../package.json" with { type: "json" };
import { BUILT_IN_PLUGINS } from "../plugins/registry.ts";
import { listPersistentMemory, type PmemNamespace } from "../plugins/scm/pmdk/namespaces.ts";
import type {
  CommandEnvironment,
  EraseOptions,
  MetaMigrationOptions,
  ServerRole,
  ServerStartOptions,
  StorageFormatOptions,
} from "./cli/environment.ts";
import { runCommandLine } from "./cli/command-line.ts";
import { runBenchmark } from "./client/benchmark.ts";
import { connect } from "./client/index.ts";
import { checkConfiguration, type Configuration, loadConfiguration } from "./engine/configuration.ts";
import { LOG_LEVELS } from "./engine/configuration-keys.ts";
import { exampleConfiguration } from "./engine/configuration-example.ts";
import { startEngine } from "./engine/engine.ts";
import type { EngineParts } from "./engine/engine-parts.ts";
import { type EnginePlan, planEngines } from "./engine/engine-plan.ts";
import { type MetaMigration, migrateMetaStore } from "./engine/meta-migration.ts";
import { type MetaRestore, restoreMetaStore } from "./engine/meta-restore.ts";
import { eraseSystem, type SystemErase } from "./engine/system-erase.ts";
import { formatListenAddress } from "./engine/listen-address.ts";
import { loadPlugins } from "./engine/plugin-loader.ts";
import type { PluginRegistry } from "./engine/plugin-registry.ts";
import { redundancyProviders } from "./engine/redundancy-providers.ts";
import { type ScannedMemory, scanStorage } from "./engine/storage-scan.ts";
import { type EngineReady, engineArguments, RESTART_STATUS, Supervisor } from "./engine/supervisor.ts";
import { onParentGone, spawnSelf } from "./world/child.ts";
import { standardError, standardInput, standardOutput } from "./world/console.ts";
import { lightDeviceLamp } from "./world/device-lamp.ts";
import { hasDirectIo } from "./world/direct-io.ts";
import { hmacSha256 } from "./world/hmac.ts";
import { hostAddress, onStopSignal, processUsage, realWorld, spawnThread } from "./world/index.ts";
import { openSink, openSource } from "./world/local-files.ts";
import { moduleImporter } from "./world/module.ts";
import { diskError } from "./world/disk-error.ts";

const VERSION = packageFile.version;
const EXIT_BUG = 70;
/** Set for the engines that a supervisor starts. */
const SUPERVISOR_VARIABLE = "DAOS_SUPERVISOR";

const world = realWorld();
const stdout = standardOutput();
const stderr = standardError();

function registryOf(references: readonly string[]): Promise<PluginRegistry> {
  const importModule = moduleImporter(process.cwd());
  return loadPlugins({ builtIn: BUILT_IN_PLUGINS, references, importModule, timers: world.timers });
}

function configurationOf(options: Partial<ServerStartOptions>): Configuration {
  const { configPath } = options;
  const path = configPath === undefined ? undefined : resolve(configPath);
  return loadConfiguration({
    environment: process.env,
    cores: availableParallelism(),
    workingFolder: process.cwd(),
    ...(path !== undefined && { file: { path, text: readText(path) } }),
    flags: {
      storage: options.storage,
      listen: options.listen,
      targets: options.targets,
      engines: options.engines,
      join: options.join,
      fault_domain: options.faultDomain,
      "scm.size": options.scmSizeBytes,
      "nvme.size": options.nvmeSizeBytes,
    },
  });
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw diskError("read", path, error);
  }
}

async function engineParts(configuration: Configuration): Promise<EngineParts> {
  const shown = LOG_LEVELS.indexOf(configuration.logLevel);
  return {
    world,
    software: `daos ${VERSION}`,
    registry: await registryOf(configuration.plugins),
    hmac: hmacSha256,
    pid: process.pid,
    persistentMemory: () => listPersistentMemory(world.disk).namespaces,
    hasDirectIo,
    hostAddress,
    spawnTarget: (index) => spawnThread(new URL("./target-thread.ts", import.meta.url), `target-${index}`),
    event: (level, message) => {
      if (LOG_LEVELS.indexOf(level) > shown) return;
      void stderr.write(Buffer.from(`daos: ${level}: ${message}\n`)).catch(() => {});
    },
    identifyDevice: lightDeviceLamp,
    usage: processUsage,
  };
}

/** Formats by an engine that serves nobody. */
async function formatStorage({ force, ...options }: StorageFormatOptions): Promise<string> {
  const configuration = { ...configurationOf(options), listen: { host: "127.0.0.1", port: 0 } };
  const parts = await engineParts(configuration);
  const engine = await startEngine(configuration, { ...parts, format: force ? "force" : "required" });
  await engine.stop();
  return engine.storage;
}

/** Of the engine on this host that was started first. */
async function migrateMeta(options: MetaMigrationOptions): Promise<MetaMigration> {
  const configuration = configurationOf(options);
  const { storage } = planEngines(world.disk, configuration, availableParallelism())[0]!;
  return migrateMetaStore(world, await registryOf(configuration.plugins), { ...configuration, storage });
}

async function restoreMeta(options: MetaMigrationOptions, backup: Uint8Array): Promise<MetaRestore> {
  const configuration = configurationOf(options);
  const { storage } = planEngines(world.disk, configuration, availableParallelism())[0]!;
  return restoreMetaStore(world, await registryOf(configuration.plugins), { ...configuration, storage }, backup);
}

async function erase({ confirm, force, ...options }: EraseOptions): Promise<SystemErase> {
  const configuration = configurationOf(options);
  const folders = planEngines(world.disk, configuration, availableParallelism()).map(({ storage }) => storage);
  return eraseSystem(world, await registryOf(configuration.plugins), configuration, folders, { confirm, force });
}

function scannedMemory({ name, mode, sizeBytes, device, mount, health }: PmemNamespace): ScannedMemory {
  const state = [health.state, ...health.problems].join(", ");
  return { name, mode, sizeBytes, device: device ?? "", mount: mount?.folder ?? "", state };
}

interface Supervision {
  readonly sharers: number;
  readonly port: number;
  readonly restartedAfter?: string;
}

/** What the supervisor tells an engine that it starts; undefined for an engine on its own. */
function supervision(): Supervision | undefined {
  const text = process.env[SUPERVISOR_VARIABLE];
  return text === undefined || text === "" ? undefined : (JSON.parse(text) as Supervision);
}

function supervisedParts({ sharers, port, restartedAfter }: Supervision): Partial<EngineParts> {
  return {
    sharers,
    ...(port > 0 && { managementPort: port }),
    startEngines: (ranks) => void stdout.write(Buffer.from(`${JSON.stringify({ startEngines: ranks })}\n`)),
    ...(restartedAfter !== undefined && { restartedAfter }),
  };
}

/** Runs an engine, or several, until a signal, a stop request, or a failure. */
async function startServer(options: ServerStartOptions): Promise<number> {
  const configuration = configurationOf(options);
  const supervised = supervision();
  if (supervised === undefined) {
    const plans = planEngines(world.disk, configuration, availableParallelism());
    if (plans.length > 1) return superviseEngines(configuration, plans, options);
  }
  const parts = await engineParts(configuration);
  const canceled = new AbortController();
  const cancel = (): void => canceled.abort();
  options.signal.addEventListener("abort", cancel, { once: true });
  if (supervised !== undefined) onParentGone(cancel);
  const engine = await startEngine(configuration, {
    ...parts,
    canceled: canceled.signal,
    ...(supervised !== undefined && supervisedParts(supervised)),
  });
  for (const notice of engine.notices) await stderr.write(Buffer.from(`${notice}\n`));
  const { storage, created, rank } = engine;
  const address = formatListenAddress(engine);
  const ready = options.json
    ? JSON.stringify({ ready: true, address, storage, created, pid: process.pid, rank })
    : `daos engine ready on ${address} (storage ${storage}${created ? ", formatted" : ""}` +
      `${rank === 0 ? "" : `, rank ${rank} of system ${engine.system}`})`;
  await stdout.write(Buffer.from(`${ready}\n`));
  const stop = (): void => void engine.stop().catch(() => {});
  if (canceled.signal.aborted) stop();
  else canceled.signal.addEventListener("abort", stop, { once: true });
  return (await engine.ended).isRestarting ? RESTART_STATUS : 0;
}

/** The flags that each engine of this host gets. */
function commonArguments({
  configPath,
  targets,
  scmSizeBytes,
  nvmeSizeBytes,
  faultDomain,
}: ServerStartOptions): string[] {
  return [
    ...(configPath === undefined ? [] : ["--config", resolve(configPath)]),
    ...(targets === undefined ? [] : ["--targets", String(targets)]),
    ...(scmSizeBytes === undefined ? [] : ["--scm-size", String(scmSizeBytes)]),
    ...(nvmeSizeBytes === undefined ? [] : ["--nvme-size", String(nvmeSizeBytes)]),
    ...(faultDomain === undefined ? [] : ["--fault-domain", faultDomain]),
  ];
}

/** Runs the engines of this host as processes of their own. */
async function superviseEngines(
  { storage }: Configuration,
  plans: readonly EnginePlan[],
  options: ServerStartOptions,
): Promise<number> {
  const tell = (message: string): void => void stderr.write(Buffer.from(`${message}\n`)).catch(() => {});
  const supervisor = new Supervisor({
    clock: world.clock,
    timers: world.timers,
    plans,
    event: tell,
    spawn: (plan, { control, port, restartedAfter }, ready) =>
      spawnSelf({
        args: engineArguments(plan, control, commonArguments(options)),
        environment: {
          [SUPERVISOR_VARIABLE]: JSON.stringify({
            sharers: plans.filter(({ isNew }) => isNew).length,
            port,
            restartedAfter,
          }),
          // The supervisor's flags say it already.
          DAOS_ENGINES: "",
          DAOS_JOIN: "",
        },
        line: (text, isError) => {
          const order = isError ? undefined : orderOf(text);
          if (order === undefined) tell(`engine ${plan.index}: ${text}`);
          else if ("ready" in order) ready(order);
          else supervisor.startAgain(order.startEngines);
        },
      }),
  });
  const stop = (): void => void supervisor.stop();
  if (options.signal.aborted) return 0;
  options.signal.addEventListener("abort", stop, { once: true });
  const engines = await supervisor.start();
  const { address } = engines[0]!;
  const created = engines.some((engine) => engine.created);
  const text = options.json
    ? JSON.stringify({ ready: true, address, storage, created, pid: process.pid, engines })
    : [
        ...engines.map((engine, index) => `engine ${index}: ready on ${engine.address} (storage ${engine.storage})`),
        `daos system ready on ${address} (${engines.length} engines, storage ${storage}${created ? ", formatted" : ""})`,
      ].join("\n");
  await stdout.write(Buffer.from(`${text}\n`));
  await supervisor.ended;
  return 0;
}

/** What an engine prints for its supervisor: that it is ready, or which engines it is to start; undefined for any other line. */
function orderOf(text: string): (EngineReady & { readonly ready: true }) | { startEngines: number[] } | undefined {
  if (!text.startsWith('{"ready":true') && !text.startsWith('{"startEngines":')) return undefined;
  return JSON.parse(text) as (EngineReady & { readonly ready: true }) | { startEngines: number[] };
}

const server: ServerRole = {
  start: startServer,
  formatStorage,
  migrateMeta,
  restoreMeta,
  eraseSystem: erase,
  scanStorage: async () =>
    scanStorage({
      disk: world.disk,
      root: "/",
      plugins: (await registryOf([])).list(),
      persistentMemory: () => listPersistentMemory(world.disk).namespaces.map(scannedMemory),
    }),
  checkConfiguration: (text, path) => checkConfiguration(text, path, availableParallelism()).problems ?? [],
  exampleConfiguration,
  localPlugins: async () => (await registryOf([])).list(),
};

async function main(): Promise<number> {
  const abort = new AbortController();
  onStopSignal(() => abort.abort());
  const registry = await registryOf([]);
  const interfaces = await Promise.all(
    registry.available("interface").map((name) => registry.provider("interface", name)),
  );
  const redundancy = await redundancyProviders(registry);
  const environment: CommandEnvironment = {
    world,
    version: VERSION,
    signal: abort.signal,
    variables: process.env,
    stdout,
    stderr,
    openStdin: standardInput,
    files: { openSource, openSink },
    server,
    connect: (own, options) => connect(own, { ...options, interfaces, redundancy }),
    runBenchmark: (options) => runBenchmark({ world, usage: processUsage, interfaces, redundancy }, options),
  };
  return runCommandLine(process.argv.slice(2), environment);
}

main().then(
  (status) => process.exit(status),
  (error: unknown) => {
    console.error(error);
    process.exit(EXIT_BUG);
  },
);
