/** Decisions on their way to one member. */
import { expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { Outbox } from "../../src/dtx/outbox.ts";
import { decodeDecisions } from "../../src/format/dtx-messages.ts";
import type { Peer } from "../../src/dtx/peer.ts";
import { simulatedWorld } from "../simulation/world.ts";

const ID = { client: 1, sequence: 7 };

test("a member that refuses a decision is met anew, though its connection stands", async () => {
  const { timers } = simulatedWorld(1);
  const said: string[] = [];
  let isRefusing = true;
  const peer = {
    call: async () => {
      said.push("decide");
      if (isRefusing) throw new DaosError("INVALID_ARGUMENT", "Cannot take request: your clock is ahead.");
    },
    resyncAgain: () => {
      said.push("resync");
      isRefusing = false;
    },
  } as unknown as Peer;
  const outbox = new Outbox({
    timers,
    peer: () => peer,
    mapVersion: () => 1,
    store: {
      forget: () => said.push("forget"),
      whenDecisionsDurable: (callback) => callback(),
    },
  });
  outbox.add(ID, "abort", [2], () => said.push("closed"));
  await timers.advance(200);
  expect(said).toEqual(["decide", "resync"]);
  // As GroupLeader does when the two have agreed.
  outbox.resend(2);
  await timers.advance(10);
  expect(said.slice(2)).toContain("closed");
  expect(outbox.size).toBe(0);
  outbox.stop();
});

test("an abort leaves in the turn in which it is decided, with what waited; a commit waits for others", () => {
  const { timers } = simulatedWorld(1);
  const sent: { commits: readonly object[]; aborts: readonly object[] }[] = [];
  const peer = {
    call: (_opcode: number, args: Uint8Array, payload: Uint8Array) => {
      sent.push(decodeDecisions(args, payload));
      return new Promise(() => {});
    },
  } as unknown as Peer;
  const store = { forget: () => {}, whenDecisionsDurable: () => {} };
  const outbox = new Outbox({ timers, peer: () => peer, mapVersion: () => 1, store });
  outbox.add(ID, "commit", [2]);
  expect(sent).toEqual([]);
  const undone = { client: 1, sequence: 8 };
  outbox.add(undone, "abort", [2]);
  expect(sent).toMatchObject([{ commits: [ID], aborts: [undone] }]);
  outbox.stop();
});

test("a decision is closed when the log has room for it", async () => {
  const { timers } = simulatedWorld(1);
  const said: string[] = [];
  let isFull = true;
  const outbox = new Outbox({
    timers,
    peer: () => undefined,
    mapVersion: () => 1,
    store: {
      forget: () => said.push("forget"),
      whenDecisionsDurable: (callback) => callback(isFull ? new DaosError("NO_SPACE", "Cannot log.") : undefined),
    },
  });
  outbox.add(ID, "commit", []);
  expect(outbox.size).toBe(1);
  isFull = false;
  await timers.advance(200);
  expect(said).toEqual(["forget"]);
  expect(outbox.size).toBe(0);
});

test("a member that has missed a decision hears of no later one before it hears of that again, in their order", async () => {
  const { timers } = simulatedWorld(1);
  const calls: (readonly number[])[] = [];
  const forgotten: number[] = [];
  let refusals = 0;
  let meetings = 0;
  const peer = {
    call: async (_opcode: number, args: Uint8Array, payload: Uint8Array) => {
      refusals -= 1;
      if (refusals >= 0) throw new DaosError("OVERLOADED", "Cannot take in a body.");
      const { commits, forgets } = decodeDecisions(args, payload);
      calls.push(commits.map(({ sequence }) => sequence));
      forgotten.push(...forgets.map(({ sequence }) => sequence));
    },
    resyncAgain: () => (meetings += 1),
  } as unknown as Peer;
  let close = (): void => {};
  const store = { forget: () => {}, whenDecisionsDurable: (callback: () => void) => (close = callback) };
  const outbox = new Outbox({ timers, peer: () => peer, mapVersion: () => 1, store });
  const commit = async (sequence: number, waitedMs: number): Promise<void> => {
    outbox.add({ client: 1, sequence }, "commit", [2]);
    await timers.advance(waitedMs);
  };
  await commit(1, 10);
  refusals = 1;
  await commit(2, 10);
  await commit(3, 200);
  // What it may forget meanwhile is not lost, and does not go ahead either.
  close();
  await timers.advance(10);
  expect([calls, forgotten, meetings]).toEqual([[[1]], [], 1]);
  outbox.resend(2);
  outbox.add({ client: 1, sequence: 4 }, "commit", [2]);
  await timers.advance(10);
  expect([calls, forgotten]).toEqual([[[1], [2, 3, 4]], [1]]);
  // Who has missed nothing is told nothing.
  outbox.resend(2);
  outbox.flush(2);
  await timers.advance(10);
  expect(calls.length).toBe(2);
  outbox.stop();
});
