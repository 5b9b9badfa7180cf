/**
 * `daos system stop` and `daos system start`: engines end, and those that have a supervisor on a host where another engine
 * runs are started again.
 */
import { DaosError, hasCode } from "../base/errors.ts";
import { MAX_RANK } from "../base/limits.ts";
import { countsArgument, secondsArgument } from "./arguments.ts";
import { command } from "./command.ts";
import type { Session } from "./session.ts";

const WAIT_SECONDS = 60;
const MAX_WAIT_SECONDS = 3600;
const POLL_MS = 100;
/** Pause before supervisors are asked again: an engine may just have been ending. */
const ASK_AGAIN_MS = 1_000;

const WAIT = {
  type: "string",
  valueHint: "SECONDS",
  description: `Longest wait for its end; default ${WAIT_SECONDS}`,
} as const;

export const stop = command({
  summary: "Stop all engines, or some: finish what runs, settle, close",
  examples: ["daos system stop", "daos system stop --ranks 2,3", "daos system stop --force --wait 10"],
  arguments: {
    ranks: { type: "string", valueHint: "N,..", description: "Only these; default all" },
    force: { type: "boolean", description: "At once: what runs fails, what was acknowledged is in the log" },
    wait: WAIT,
  },
  async run({ ranks: text, force, wait }, session) {
    const ranks = text === undefined ? undefined : countsArgument("--ranks", text, MAX_RANK);
    const waitSeconds = waitFrom(wait);
    const system = await session.system();
    const { engines = [] } = await system.query(session.cancelable);
    await system.stopEngines(
      { ...(ranks !== undefined && { ranks }), ...(force === true && { force }) },
      session.cancelable,
    );
    const addresses = ranks === undefined ? [session.address] : addressesOf(engines, ranks);
    const stopped = ranks ?? engines.map(({ rank }) => rank);
    const progress = { label: `Stopping rank ${stopped.join(", ")}`, unit: "none" } as const;
    await session.withProgress(progress, async () => {
      for (const address of addresses) await untilGone(session, address, waitSeconds);
    });
    await session.output.result({ ranks: stopped, stopped: true }, `Stopped rank ${stopped.join(", ")}.\n`);
  },
});

export const start = command({
  summary: "Start engines that were stopped, through the supervisors of their hosts",
  examples: ["daos system start", "daos system start --ranks 2"],
  arguments: {
    ranks: { type: "string", valueHint: "N,..", description: "Only these; default all that are not here" },
    wait: { ...WAIT, description: `Longest wait until they serve; default ${WAIT_SECONDS}` },
  },
  async run({ ranks: text, wait }, session) {
    const ranks = text === undefined ? undefined : countsArgument("--ranks", text, MAX_RANK);
    const waitSeconds = waitFrom(wait);
    const progress = { label: "Starting engines", unit: "none" } as const;
    const started = await session.withProgress(progress, () => startAll(session, ranks, waitSeconds));
    const done = started.length === 0 ? "All of them run.\n" : `Started rank ${started.join(", ")}.\n`;
    await session.output.result({ started }, done);
  },
});

function waitFrom(text: string | undefined): number {
  return text === undefined ? WAIT_SECONDS : secondsArgument("--wait", text, MAX_WAIT_SECONDS);
}

function addressesOf(
  engines: readonly { readonly rank: number; readonly address: string }[],
  ranks: readonly number[],
): string[] {
  return engines.filter(({ rank, address }) => ranks.includes(rank) && address !== "").map(({ address }) => address);
}

/** Ranks that were not here and are now. Rejects with UNAVAILABLE (nobody to start them), TIMEOUT. */
async function startAll(
  session: Session,
  ranks: readonly number[] | undefined,
  waitSeconds: number,
): Promise<readonly number[]> {
  const { clock } = session.environment.world;
  const system = await session.system();
  const deadlineNs = clock.monotonicNs() + waitSeconds * 1e9;
  let first: readonly number[] | undefined;
  for (;;) {
    const { missing, supervisors } = await system.startEngines(ranks, session.cancelable);
    first ??= missing;
    if (missing.length === 0) return first;
    const which = `rank ${missing.join(", ")}`;
    const advice = "Start them on their hosts: `daos server start`";
    if (supervisors === 0) {
      throw new DaosError("UNAVAILABLE", `Cannot start ${which}: no engine that runs has a supervisor. ${advice}.`);
    }
    if (clock.monotonicNs() > deadlineNs || session.signal.aborted) {
      const state = `not here after ${waitSeconds} s; perhaps no supervisor of a running engine has them`;
      throw new DaosError(
        session.signal.aborted ? "CANCELED" : "TIMEOUT",
        `Cannot start ${which}: ${state}. ${advice}.`,
      );
    }
    await session.pause(ASK_AGAIN_MS);
  }
}

/** Asks until nobody answers. Rejects with TIMEOUT when the engine still does after the wait, or CANCELED. */
export async function untilGone(session: Session, address: string, waitSeconds: number): Promise<void> {
  const { environment, signal } = session;
  const { world } = environment;
  const deadlineNs = world.clock.monotonicNs() + waitSeconds * 1e9;
  while (world.clock.monotonicNs() < deadlineNs) {
    try {
      const system = await environment.connect(world, { system: address, timeoutMs: 1000, signal });
      await system.close();
    } catch (error) {
      if (hasCode(error, "UNAVAILABLE")) return;
      if (!hasCode(error, "TIMEOUT")) throw error;
    }
    await new Promise<void>((resolve) => world.timers.after(POLL_MS, resolve));
  }
  const state = `it still answers after ${waitSeconds} s`;
  throw new DaosError(
    "TIMEOUT",
    `Cannot stop the engine at ${address}: ${state}. Wait longer with --wait, or look at its log.`,
  );
}
