/** `daos pool rebuild ...`: how far what is rebuilt or moved in a pool is, and to hold it. */
import { REBUILD_PAUSED, REBUILD_RUNNING } from "../base/property-values.ts";
import { formatSize } from "../base/size.ts";
import type { PoolDescription } from "../format/operations.ts";
import type { PoolRebuild } from "../format/pool-state.ts";
import { command, commandGroup } from "./command.ts";
import { POOL_ARGUMENT } from "./container-arguments.ts";
import { formatDuration, formatPercent, formatRecord, printable } from "./table.ts";

const status = command({
  summary: "Show how far what is rebuilt or moved in a pool is",
  examples: ["daos pool rebuild status tank", "daos pool rebuild status tank --json"],
  arguments: { label: POOL_ARGUMENT },
  async run({ label }, session) {
    const pool = await (await session.pool(label)).query(session.cancelable);
    await session.output.result(statusJson(pool), statusText(pool));
  },
});

const pause = command({
  summary: "Bring only what is written to, until it is resumed",
  examples: ["daos pool rebuild pause tank"],
  arguments: { label: POOL_ARGUMENT },
  async run({ label }, session) {
    const pool = await session.pool(label);
    await pool.setProperties({ rebuild: REBUILD_PAUSED }, session.cancelable);
    const text = `Rebuild of pool ${printable(label)} is paused. Until it goes on, its data survives no more failures than now.\n`;
    await session.output.result({ pool: label, rebuild: REBUILD_PAUSED }, text);
  },
});

const resume = command({
  summary: "Let what was paused go on",
  examples: ["daos pool rebuild resume tank"],
  arguments: { label: POOL_ARGUMENT },
  async run({ label }, session) {
    const pool = await session.pool(label);
    await pool.setProperties({ rebuild: REBUILD_RUNNING }, session.cancelable);
    await session.output.result(
      { pool: label, rebuild: REBUILD_RUNNING },
      `Rebuild of pool ${printable(label)} goes on.\n`,
    );
  },
});

export const REBUILD_COMMANDS = commandGroup("What is rebuilt and moved in a pool", { status, pause, resume });

/** docs/cli.md promises these names. */
function statusJson({ label, rebuild, properties }: PoolDescription): object {
  return { pool: label, share: properties["rebuild_share"] ?? null, rebuild: rebuildJson(rebuild) };
}

/** docs/cli.md promises these names. */
export function rebuildJson(rebuild: PoolRebuild | undefined): object | null {
  if (rebuild === undefined) return null;
  const { state, dkeys, bytes, targetsDone, targets, ...more } = rebuild;
  return {
    state,
    dkeys,
    bytes,
    targetsDone,
    targets,
    dkeysToBring: more.dkeysToBring ?? null,
    dkeysLeft: more.dkeysLeft ?? null,
    bytesLeft: more.bytesLeft ?? null,
    dkeysPerSecond: more.dkeysPerSecond ?? null,
    bytesPerSecond: more.bytesPerSecond ?? null,
    secondsLeft: more.secondsLeft ?? null,
  };
}

function statusText({ label, rebuild, properties }: PoolDescription): string {
  const share = properties["rebuild_share"];
  if (rebuild === undefined)
    return formatRecord([
      ["Pool", printable(label)],
      ["State", "not told"],
    ]);
  const { state, dkeys, bytes, targetsDone, targets, dkeysPerSecond = 0, bytesPerSecond = 0 } = rebuild;
  return formatRecord([
    ["Pool", printable(label)],
    ["State", state],
    ["Targets", `${targetsDone} of ${targets} done`],
    ["Brought", `${dkeys} dkeys, ${formatSize(bytes)}`],
    ["Left", leftText(rebuild)],
    ["Rate", `${dkeysPerSecond} dkeys/s, ${formatSize(bytesPerSecond)}/s`],
    ["Time left", timeText(rebuild)],
    ["Share", share === undefined ? "not told" : `${share} % of a target's time beside clients`],
  ]);
}

function leftText({ state, dkeysLeft, dkeysToBring, bytesLeft }: PoolRebuild): string {
  if (state === "idle" || state === "done") return "nothing";
  if (dkeysLeft === undefined || dkeysToBring === undefined) return "being counted";
  const bytes = bytesLeft === undefined ? "" : `, about ${formatSize(bytesLeft)}`;
  const passed = formatPercent(dkeysToBring - dkeysLeft, Math.max(1, dkeysToBring));
  return `${dkeysLeft} of ${dkeysToBring} dkeys${bytes} (${dkeysToBring === 0 ? "100 %" : passed} done)`;
}

function timeText({ state, secondsLeft }: PoolRebuild): string {
  if (state === "idle" || state === "done") return "none";
  return secondsLeft === undefined ? "not known" : `about ${formatDuration(1_000 * secondsLeft)}`;
}

/** One line, for `daos pool query`. */
export function rebuildText(rebuild: PoolRebuild | undefined): string {
  if (rebuild === undefined) return "not told";
  const { state, dkeys, bytes, targetsDone, targets, dkeysLeft, secondsLeft } = rebuild;
  if (state === "idle") return state;
  const brought = `${dkeys} dkeys, ${formatSize(bytes)}`;
  if (state === "done") return `${state}, ${brought}`;
  const left = dkeysLeft === undefined ? "" : `, ${dkeysLeft} dkeys left`;
  const time = secondsLeft === undefined ? "" : `, about ${formatDuration(1_000 * secondsLeft)}`;
  return `${state}, ${targetsDone} of ${targets} targets done, ${brought}${left}${time}`;
}
