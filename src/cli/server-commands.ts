/**
 * `daos server ...`: the server role. `start` hands over to the engine; the rest asks a running one, or looks at files
 * and plugins without one.
 */
import { hasCode } from "../base/errors.ts";
import { MAX_CONFIGURATION_BYTES, MAX_ENGINE_TARGETS, MAX_HOST_ENGINES, MAX_RANK } from "../base/limits.ts";
import type { ConfigurationProblem } from "../engine/configuration.ts";
import type { PluginListReply } from "../format/operations.ts";
import { countArgument, secondsArgument, sizeArgument } from "./arguments.ts";
import { command, commandGroup } from "./command.ts";
import { EXIT_STATUS } from "./exit-status.ts";
import type { Session } from "./session.ts";
import { systemJson, systemText } from "./system-commands.ts";
import { untilGone } from "./system-stop-commands.ts";
import { formatTable, printable } from "./table.ts";
import { readWhole } from "./transfer.ts";

const STOP_WAIT_SECONDS = 60;
const MAX_STOP_WAIT_SECONDS = 3600;

const start = command({
  summary: "Run an engine, or several, until stopped",
  examples: [
    "daos server start",
    "daos server start --storage /var/lib/daos --nvme-size 100GiB",
    "daos server start --config /etc/daos/server.yml",
    "daos server start --engines 3",
    "daos server start --join 10.0.0.5:10001 --fault-domain /rack1/node2",
  ],
  arguments: {
    config: { type: "string", valueHint: "FILE", description: "Configuration file; flags go before what it says" },
    storage: { type: "string", valueHint: "DIR", description: "Folder that holds all data; made when absent" },
    listen: { type: "string", valueHint: "HOST:PORT", description: "Where to listen; default 127.0.0.1:10001" },
    targets: { type: "string", valueHint: "N", description: "Targets, a thread each; default one a core less one" },
    engines: { type: "string", valueHint: "N", description: "Engines on this host, a process each; default 1" },
    join: { type: "string", valueHint: "HOST:PORT", description: "Join the system of the engine there" },
    "fault-domain": { type: "string", valueHint: "PATH", description: "What fails together, such as /rack1/node2" },
    "scm-size": { type: "string", valueHint: "SIZE", description: "Size of the SCM tier of the engine" },
    "nvme-size": { type: "string", valueHint: "SIZE", description: "Size of the NVMe tier of the engine" },
  },
  async run(values, session) {
    const { config, storage, listen, targets, engines, join } = values;
    const faultDomain = values["fault-domain"];
    const scmSize = values["scm-size"];
    const nvmeSize = values["nvme-size"];
    return await session.environment.server.start({
      ...(config !== undefined && { configPath: config }),
      ...(storage !== undefined && { storage }),
      ...(listen !== undefined && { listen }),
      ...(targets !== undefined && { targets: countArgument("--targets", targets, 1, MAX_ENGINE_TARGETS) }),
      ...(engines !== undefined && { engines: countArgument("--engines", engines, 1, MAX_HOST_ENGINES) }),
      ...(join !== undefined && { join }),
      ...(faultDomain !== undefined && { faultDomain }),
      ...(scmSize !== undefined && { scmSizeBytes: sizeArgument("--scm-size", scmSize) }),
      ...(nvmeSize !== undefined && { nvmeSizeBytes: sizeArgument("--nvme-size", nvmeSize) }),
      json: session.output.json,
      signal: session.signal,
    });
  },
});

const stop = command({
  summary: "Stop all engines, or one: finish what runs, settle, close",
  examples: ["daos server stop", "daos server stop --wait 300", "daos server stop --rank 2"],
  arguments: {
    wait: {
      type: "string",
      valueHint: "SECONDS",
      description: `Longest wait for its end; default ${STOP_WAIT_SECONDS}`,
    },
    rank: { type: "string", valueHint: "N", description: "Stop only the engine of this rank, and do not wait" },
  },
  async run({ wait, rank: text }, session) {
    const waitSeconds = wait === undefined ? STOP_WAIT_SECONDS : secondsArgument("--wait", wait, MAX_STOP_WAIT_SECONDS);
    const system = await session.system();
    if (text !== undefined) {
      const rank = countArgument("--rank", text, 0, MAX_RANK);
      await system.stop({ rank, signal: session.signal });
      await session.output.result({ rank, stopped: true }, `Rank ${rank} stops.\n`);
      return;
    }
    const { pid } = await system.query(session.cancelable);
    await system.stop(session.cancelable);
    const progress = { label: `Stopping engine ${pid}`, unit: "none" } as const;
    await session.withProgress(progress, () => untilGone(session, session.address, waitSeconds));
    await session.output.result({ pid, stopped: true }, `Stopped engine ${pid}.\n`);
  },
});

const status = command({
  summary: "Show whether an engine runs, and how it does",
  examples: ["daos server status", "daos server status --system 10.0.0.5:10001"],
  arguments: {},
  async run(_values, session) {
    const reply = await (await session.system()).query(session.cancelable);
    await session.output.result({ running: true, ...systemJson(reply) }, `Running\n${systemText(reply)}`);
  },
});

const plugins = command({
  summary: "List the plugins, and why one cannot serve",
  examples: ["daos server plugins", "daos server plugins --json"],
  arguments: {},
  async run(_values, session) {
    const found = await runningPlugins(session);
    if (session.output.json) {
      await session.output.list(found, pluginJson, String);
      return;
    }
    const rows = found.map((plugin) => [
      plugin.kind,
      plugin.name,
      plugin.state,
      printable(plugin.reason === "" ? plugin.description : plugin.reason),
      printable(plugin.origin),
    ]);
    await session.output.text(formatTable(PLUGIN_COLUMNS, rows));
  },
});

const PLUGIN_COLUMNS = [
  { title: "Kind" },
  { title: "Name" },
  { title: "State" },
  { title: "Description or reason" },
  { title: "Origin" },
] as const;

type PluginEntry = PluginListReply["plugins"][number];

/** The engine's, or those of this executable when no engine runs and none was named. */
async function runningPlugins(session: Session): Promise<readonly PluginEntry[]> {
  try {
    return await (await session.system()).plugins(session.cancelable);
  } catch (error) {
    if (session.addressGiven || !hasCode(error, "UNAVAILABLE")) throw error;
    session.output.messages.info("no engine runs here; these are the plugins of this program.");
    return await session.environment.server.localPlugins();
  }
}

function pluginJson({ kind, name, description, origin, state, reason }: PluginEntry): object {
  return { kind, name, description, origin, state, reason };
}

const configCheck = command({
  summary: "Check a configuration file",
  examples: ["daos server config check /etc/daos/server.yml"],
  arguments: { file: { type: "positional", required: true, description: "The file; - is standard input" } },
  async run({ file }, session) {
    const bytes = await readWhole(session, file, MAX_CONFIGURATION_BYTES);
    const problems =
      bytes === undefined
        ? [
            {
              message: `Cannot read "${file}": it is over ${MAX_CONFIGURATION_BYTES} bytes. Is it the right file?`,
            },
          ]
        : session.environment.server.checkConfiguration(Buffer.from(bytes).toString("utf8"), file);
    const { messages, json } = session.output;
    if (!json) for (const problem of problems) messages.error(problemText(file, problem));
    const valid = problems.length === 0;
    await session.output.result(
      { file, valid, problems: problems.map(problemJson) },
      valid ? `${printable(file)} is valid.\n` : "",
    );
    return valid ? EXIT_STATUS.ok : EXIT_STATUS.usage;
  },
});

/** `server.yml:3: scm.size: expected ...`, which editors take a reader to. */
function problemText(file: string, { message, line, path }: ConfigurationProblem): string {
  const place = line === undefined ? printable(file) : `${printable(file)}:${line}`;
  return path === undefined ? `${place}: ${message}` : `${place}: ${path}: ${message}`;
}

function problemJson({ message, line, path }: ConfigurationProblem): object {
  return { message, line: line ?? null, path: path ?? null };
}

const configExample = command({
  summary: "Print a commented configuration file",
  examples: ["daos server config example > server.yml"],
  arguments: {},
  async run(_values, session) {
    const example = session.environment.server.exampleConfiguration();
    await session.output.result({ configuration: example }, example);
  },
});

const CONFIG_COMMANDS = commandGroup("Configuration files", { check: configCheck, example: configExample });

export const SERVER_COMMANDS = commandGroup("The server: run, stop and look at an engine", {
  start,
  stop,
  status,
  plugins,
  config: CONFIG_COMMANDS,
});
