/** `daos pool scrub`: begin, end and watch passes over what the targets of a pool have stored. */
import { MAX_SCRUB_BYTES_PER_SECOND, MIN_SCRUB_BYTES_PER_SECOND } from "../base/limits.ts";
import { formatSize } from "../base/size.ts";
import { NOTHING_SCRUBBED, type PoolScrubReply, type ScrubCounts } from "../format/scrub.ts";
import { argumentError, sizeArgument } from "./arguments.ts";
import { command, commandGroup } from "./command.ts";
import { POOL_ARGUMENT } from "./container-arguments.ts";
import { formatTable } from "./table.ts";

const start = command({
  summary: "Begin a pass over all that is stored of a pool: check it, and repair what is damaged",
  examples: ["daos pool scrub start tank", "daos pool scrub start tank --rate 256MiB"],
  arguments: {
    label: POOL_ARGUMENT,
    rate: {
      type: "string",
      valueHint: "SIZE",
      description: "Bytes a second on each target, for this pass; default: the property scrub_rate",
    },
  },
  async run({ label, rate }, session) {
    const bytesPerSecond = rate === undefined ? undefined : rateFrom(rate);
    const pool = await session.pool(label);
    const reply = await pool.scrub("start", {
      ...session.cancelable,
      ...(bytesPerSecond !== undefined && { bytesPerSecond }),
    });
    await session.output.result(scrubJson(reply), scrubText(reply));
  },
});

const stop = command({
  summary: "End the pass that runs; none begins by itself before the next start",
  examples: ["daos pool scrub stop tank"],
  arguments: { label: POOL_ARGUMENT },
  async run({ label }, session) {
    const reply = await (await session.pool(label)).scrub("stop", session.cancelable);
    await session.output.result(scrubJson(reply), scrubText(reply));
  },
});

const status = command({
  summary: "Show how far scrubbing is on each target, and what the last pass has found",
  examples: ["daos pool scrub status tank", "daos pool scrub status tank --json"],
  arguments: { label: POOL_ARGUMENT },
  async run({ label }, session) {
    const reply = await (await session.pool(label)).scrub("status", session.cancelable);
    await session.output.result(scrubJson(reply), scrubText(reply));
  },
});

export const SCRUB_COMMANDS = commandGroup("Scrubbing: what is stored is read, checked and repaired", {
  start,
  stop,
  status,
});

function rateFrom(text: string): number {
  const bytes = sizeArgument("--rate", text, MIN_SCRUB_BYTES_PER_SECOND);
  if (bytes <= MAX_SCRUB_BYTES_PER_SECOND) return bytes;
  throw argumentError("--rate", text, `at most ${formatSize(MAX_SCRUB_BYTES_PER_SECOND)}`);
}

/** docs/cli.md promises these names. */
function scrubJson({ pool, mode, periodSeconds, bytesPerSecond, targets }: PoolScrubReply): object {
  const totals = {
    now: total(targets.map(({ status: one }) => one?.now)),
    last: total(targets.map(({ status: one }) => one?.last)),
  };
  const each = targets.map(({ index, rank, status: one }) => ({
    index,
    rank,
    state: one?.state ?? "away",
    startedAtMs: one?.startedAtMs ?? 0,
    now: one?.now ?? NOTHING_SCRUBBED,
    finishedAtMs: one?.finishedAtMs ?? 0,
    last: one?.last ?? NOTHING_SCRUBBED,
    passes: one?.passes ?? 0,
  }));
  return { pool, mode, periodSeconds, bytesPerSecond, ...totals, targets: each };
}

function total(all: readonly (ScrubCounts | undefined)[]): ScrubCounts {
  return all.reduce<ScrubCounts>(
    (sum, counts) => ({
      bytes: sum.bytes + (counts?.bytes ?? 0),
      damaged: sum.damaged + (counts?.damaged ?? 0),
      repaired: sum.repaired + (counts?.repaired ?? 0),
      lost: sum.lost + (counts?.lost ?? 0),
    }),
    NOTHING_SCRUBBED,
  );
}

function scrubText({ mode, periodSeconds, bytesPerSecond, targets }: PoolScrubReply): string {
  const when = { off: "on request", lazy: "while nobody else reads or writes", timed: `every ${periodSeconds} s` }[
    mode
  ];
  const rows = targets.map(({ index, rank, status: one }) => {
    const counts = one?.state === "running" ? one.now : (one?.last ?? NOTHING_SCRUBBED);
    const finished = one === undefined || one.finishedAtMs === 0 ? "never" : new Date(one.finishedAtMs).toISOString();
    const { bytes, damaged, repaired, lost } = counts;
    const numbers = [damaged, repaired, lost].map(String);
    return [String(index), String(rank), one?.state ?? "away", formatSize(bytes), ...numbers, finished];
  });
  return `Scrub ${mode} (${when}), ${formatSize(bytesPerSecond)} a second on each target\n\n${formatTable(COLUMNS, rows)}`;
}

/** Of the pass that runs, else of the last one. */
const COLUMNS = [
  { title: "Target", align: "right" },
  { title: "Rank", align: "right" },
  { title: "State" },
  { title: "Checked", align: "right" },
  { title: "Damaged", align: "right" },
  { title: "Repaired", align: "right" },
  { title: "Lost", align: "right" },
  { title: "Last pass ended" },
] as const;
