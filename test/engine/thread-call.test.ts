/** Calls from one thread to another. */
import { expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { serveThreadCalls, ThreadCaller } from "../../src/engine/thread-call.ts";
import { codeOf } from "./engine-rig.ts";
import { threadPair } from "./thread-pair.ts";

interface Calls {
  double(value: number): number;
  wait(value: string): Promise<string>;
  refuse(value: undefined): never;
  missing(value: undefined): void;
}

function rig(): {
  caller: ThreadCaller<Calls>;
  thread: ReturnType<typeof threadPair>["thread"];
  exits: (Error | undefined)[];
  release: () => void;
} {
  const { thread, parent } = threadPair();
  const exits: (Error | undefined)[] = [];
  let release = (): void => {};
  const gate = new Promise<void>((resolve) => (release = resolve));
  serveThreadCalls<Omit<Calls, "missing">>(parent, {
    double: (value) => 2 * value,
    wait: async (value) => {
      await gate;
      return value;
    },
    refuse: () => {
      throw new DaosError("NO_SPACE", "Cannot do it: full.");
    },
  });
  return { caller: new ThreadCaller<Calls>(thread, (error) => exits.push(error)), thread, exits, release };
}

test("answers reach their own calls, whatever their order", async () => {
  const { caller, release } = rig();
  const waiting = caller.call("wait", "late");
  expect(await Promise.all([1, 2, 3].map((value) => caller.call("double", value)))).toEqual([2, 4, 6]);
  release();
  expect(await waiting).toBe("late");
});

test("errors keep code and message; a call that is not there is UNSUPPORTED", async () => {
  const { caller } = rig();
  const error = await caller.call("refuse", undefined).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(DaosError);
  expect([(error as DaosError).code, (error as DaosError).message]).toEqual(["NO_SPACE", "Cannot do it: full."]);
  expect(await codeOf(caller.call("missing", undefined))).toBe("UNSUPPORTED");
  expect(await caller.call("double", 4)).toBe(8);
});

test("when the thread ends, open and later calls fail with UNAVAILABLE, and the end is told once", async () => {
  const { caller, thread, exits } = rig();
  const open = [caller.call("wait", "one"), caller.call("wait", "two")].map(codeOf);
  thread.terminate();
  expect(await Promise.all(open)).toEqual(["UNAVAILABLE", "UNAVAILABLE"]);
  expect(await codeOf(caller.call("double", 1))).toBe("UNAVAILABLE");
  expect(exits).toEqual([undefined]);
});

test("when the thread ends by an error, calls fail with it", async () => {
  const { caller, thread, exits } = rig();
  const open = caller.call("wait", "one").catch((reason: unknown) => reason);
  const cause = new Error("out of luck");
  thread.terminate(cause);
  expect(await open).toBe(cause);
  expect(exits).toEqual([cause]);
});
