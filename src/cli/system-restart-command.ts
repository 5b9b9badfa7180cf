/**
 * `daos system restart`: engines are restarted by their supervisors; with --rolling one after the other, who leads last, and
 * each only when all data has its redundancy: that is how a release is upgraded while clients go on.
 */
import { DaosError, hasCode } from "../base/errors.ts";
import { MAX_RANK } from "../base/limits.ts";
import type { SystemQueryReply } from "../format/operations.ts";
import { countsArgument, secondsArgument } from "./arguments.ts";
import { command } from "./command.ts";
import type { Session } from "./session.ts";
import { printable } from "./table.ts";

const WAIT_SECONDS = 300;
const MAX_WAIT_SECONDS = 86_400;
const POLL_MS = 250;

interface Waiting {
  readonly session: Session;
  readonly waitSeconds: number;
}

export const restart = command({
  summary: "Restart engines, all at once or one after the other; an upgraded program is used from then on",
  examples: [
    "daos system restart --rolling",
    "daos system restart --ranks 2",
    "daos system restart --rolling --wait 3600",
  ],
  arguments: {
    ranks: { type: "string", valueHint: "N,..", description: "Only these; default all that are here" },
    rolling: { type: "boolean", description: "One at a time, each when all data has its redundancy again" },
    wait: { type: "string", valueHint: "SECONDS", description: `Longest wait for each step; default ${WAIT_SECONDS}` },
  },
  async run({ ranks: text, rolling, wait }, session) {
    const waitSeconds = wait === undefined ? WAIT_SECONDS : secondsArgument("--wait", wait, MAX_WAIT_SECONDS);
    const system = await session.system();
    const { engines = [] } = await system.query(session.cancelable);
    const here = engines.filter(({ state }) => state === "joined" || state === "suspect").map(({ rank }) => rank);
    const chosen = text === undefined ? here : countsArgument("--ranks", text, MAX_RANK);
    const leader = (await system.leader(session.cancelable)).rank;
    const ranks = [...chosen.filter((rank) => rank !== leader), ...chosen.filter((rank) => rank === leader)];
    const groups = rolling === true ? ranks.map((rank) => [rank]) : [ranks];
    for (const group of groups) {
      const progress = { label: `Restarting rank ${group.join(", ")}`, unit: "none" } as const;
      await session.withProgress(progress, async () => {
        if (rolling === true) await untilWhole({ session, waitSeconds }, group);
        await restartRanks({ session, waitSeconds }, group);
      });
      if (!session.output.json) await session.output.text(`Restarted rank ${group.join(", ")}.\n`);
    }
    if (session.output.json) await session.output.result({ ranks, rolling: rolling === true }, "");
  },
});

async function restartRanks({ session, waitSeconds }: Waiting, ranks: readonly number[]): Promise<void> {
  const system = await session.system();
  const { pid } = await system.query(session.cancelable);
  const leader = (await system.leader(session.cancelable)).rank;
  await system.stopEngines({ ranks, restart: true }, session.cancelable);
  // Others are `stopped` from when they were told until they join anew; who leads answers as another process then.
  const isBack = ({ engines = [], pid: now }: SystemQueryReply): boolean =>
    (!ranks.includes(leader) || now !== pid) &&
    ranks.every((rank) => engines.find((engine) => engine.rank === rank)?.state === "joined");
  const state = `rank ${ranks.join(", ")} has not come back`;
  await until({ session, waitSeconds }, `Cannot go on: ${state}`, async () => {
    const reply = await queryThatMayFail(session);
    return reply !== undefined && isBack(reply);
  });
}

/** All engines are here but those that an admin has stopped, and nothing is to be rebuilt. */
async function untilWhole(waiting: Waiting, ranks: readonly number[]): Promise<void> {
  const { session } = waiting;
  const system = await session.system();
  await until(waiting, `Cannot restart rank ${ranks.join(", ")}: data is without its redundancy`, async () => {
    const { engines = [] } = await system.query(session.cancelable);
    const pools = await system.listPools(session.cancelable);
    for (const { label, rebuild } of pools) {
      if (rebuild?.state !== "stuck" && rebuild?.state !== "paused") continue;
      const state = `pool "${printable(label)}" cannot be rebuilt: it is ${rebuild.state}`;
      throw new DaosError(
        "BUSY",
        `Cannot restart rank ${ranks.join(", ")}: ${state}. See \`daos pool rebuild status\`.`,
      );
    }
    return pools.every(({ rebuild }) => rebuild?.state !== "busy") && engines.every(({ state }) => state !== "suspect");
  });
}

/** Undefined while nobody leads. */
async function queryThatMayFail(session: Session): Promise<SystemQueryReply | undefined> {
  try {
    return await (await session.system()).query(session.cancelable);
  } catch (error) {
    if (hasCode(error, "UNAVAILABLE") || hasCode(error, "TIMEOUT")) return undefined;
    throw error;
  }
}

/** Rejects with TIMEOUT, or CANCELED. */
async function until({ session, waitSeconds }: Waiting, failure: string, isSo: () => Promise<boolean>): Promise<void> {
  const { clock } = session.environment.world;
  const deadlineNs = clock.monotonicNs() + waitSeconds * 1e9;
  while (!(await isSo())) {
    if (session.signal.aborted) throw new DaosError("CANCELED", `${failure}. Look at \`daos system query\`.`);
    if (clock.monotonicNs() > deadlineNs) {
      throw new DaosError("TIMEOUT", `${failure} after ${waitSeconds} s. Look at \`daos system query\`.`);
    }
    await session.pause(POLL_MS);
  }
}
