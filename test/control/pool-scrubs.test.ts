/** Scrubs on request: who is told, who answers, and what is said of those who do not. */
import { expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { PoolScrubs, type PoolScrubsParts } from "../../src/control/pool-scrubs.ts";
import { codeOf } from "../engine/engine-rig.ts";

const STATUS = { state: "running" };

function rig(away: readonly number[]): { scrubs: PoolScrubs; calls: [number, string, object][] } {
  const calls: [number, string, object][] = [];
  const target = (index: number, rank: number, number: number, state = "UPIN") => ({
    index,
    rank,
    target: number,
    state,
  });
  const targets = [target(0, 0, 0), target(1, 0, 1), target(2, 1, 0), target(3, 2, 0, "DOWN")];
  const link = (rank: number) => ({
    call: async (name: string, value: object) => {
      calls.push([rank, name, value]);
      if (away.includes(rank)) throw new DaosError("TIMEOUT", "Cannot ask: no answer.");
      return name === "scrub" ? {} : { targets: rank === 0 ? [STATUS, null] : [STATUS] };
    },
  });
  const record = { id: "id", label: "tank", properties: { scrub: "lazy", scrub_rate: 1_048_576 } };
  const parts = {
    catalogue: { pool: async () => ({ record }) },
    maps: { find: async () => ({ record: { targets } }) },
    members: { link },
  };
  return { scrubs: new PoolScrubs(parts as unknown as PoolScrubsParts), calls };
}

test("start: every engine that takes part is told, and all are asked", async () => {
  const { scrubs, calls } = rig([]);
  const reply = await scrubs.run({ pool: "tank", action: "start", bytesPerSecond: 9_999_999 });
  expect(calls.slice(0, 2)).toEqual(
    [0, 1].map((rank) => [rank, "scrub", { pool: "id", action: "start", bytesPerSecond: 9_999_999 }]),
  );
  expect(reply).toEqual({
    pool: "tank",
    mode: "lazy",
    periodSeconds: 604_800,
    bytesPerSecond: 1_048_576,
    targets: [
      { index: 0, rank: 0, status: STATUS },
      { index: 1, rank: 0 },
      { index: 2, rank: 1, status: STATUS },
    ],
  } as never);
});

test("status: nobody is told anything; an engine that is away has none", async () => {
  const { scrubs, calls } = rig([1]);
  const reply = await scrubs.run({ pool: "tank", action: "status" });
  expect(calls.map(([rank, name]) => `${rank} ${name}`)).toEqual(["0 scrubStatus", "1 scrubStatus"]);
  expect(reply.targets[2]).toEqual({ index: 2, rank: 1 });
});

test("stop: UNAVAILABLE when no engine could be told, and not when one could", async () => {
  expect(await codeOf(rig([0, 1]).scrubs.run({ pool: "tank", action: "stop" }))).toBe("UNAVAILABLE");
  expect((await rig([0]).scrubs.run({ pool: "tank", action: "stop" })).targets).toHaveLength(3);
});
