/** The session over links that do as they are told: what a call that never left may do. */
import { expect, test } from "bun:test";
import { byteStringOfText } from "../../src/base/bytes.ts";
import { type Epoch, HybridLogicalClock } from "../../src/base/epoch.ts";
import { DaosError } from "../../src/base/errors.ts";
import { STAGED_UPDATE_BYTES } from "../../src/base/limits.ts";
import { objectClassByName } from "../../src/base/object-class.ts";
import { objectId } from "../../src/base/object-id.ts";
import { ContainerSession } from "../../src/client/container-session.ts";
import { ObjectOperations } from "../../src/client/object-operations.ts";
import { ReceiveBuffers } from "../../src/client/receive-buffers.ts";
import type { RpcLink } from "../../src/client/rpc-link.ts";
import { TargetConnections } from "../../src/client/target-connection.ts";
import { encodeCbor } from "../../src/format/cbor.ts";
import { decodeObjectRequest, encodeObjectReply, OBJECT_REPLY_BYTES } from "../../src/format/object-request.ts";
import { servingTarget } from "../../src/format/pool-map.ts";
import { bodyOf } from "../rpc/harness.ts";
import { answerRefused } from "../../src/rpc/connection-errors.ts";
import { RedundancySchemes } from "../../src/redundancy/redundancy-schemes.ts";
import { simulatedWorld, type SimulatedWorld } from "../simulation/world.ts";

const REPLY = Buffer.alloc(OBJECT_REPLY_BYTES);
encodeObjectReply(REPLY, 0, { epoch: 77 as Epoch, lengthBytes: 0, recordBytes: 0, flags: 1 });
const GONE = new DaosError("UNAVAILABLE", "gone");
const ERRORS = {
  unsent: GONE,
  sent: GONE,
  old: new DaosError("OLD_REQUEST", "old"),
  stale: new DaosError("STALE", "stale"),
  corrupt: new DaosError("CORRUPT", "corrupt"),
  garbled: new DaosError("PROTOCOL", "garbled"),
  damaged: new DaosError("DAMAGED", "damaged"),
  answerDamaged: answerRefused("h:1", new DaosError("DAMAGED", "damaged")),
};

/** Outcome of each start in turn; after them all succeed. */
function sessionOver(
  outcomes: (keyof typeof ERRORS)[],
  targets = 1,
  isControlPlaneAway = false,
): {
  operations: ObjectOperations;
  world: SimulatedWorld;
  starts: () => number;
  /** Numbers under which something was sent. */
  numbers: readonly number[];
} {
  let starts = 0;
  const numbers: number[] = [];
  const link: RpcLink = {
    isClosed: false,
    call: () => Promise.resolve({ args: encodeCbor({ handle: 1 }), payload: new Uint8Array(0) }),
    start(_opcode, argsLength, encoder, _payload, _options, completion): void {
      starts += 1;
      const outcome = outcomes.shift();
      const args = Buffer.alloc(argsLength);
      encoder.encode(args, 0);
      numbers.push(decodeObjectRequest(args).sequence);
      queueMicrotask(() => {
        if (outcome === undefined) completion.answered(bodyOf(REPLY));
        else completion.failed(ERRORS[outcome], outcome !== "unsent");
      });
    },
    abandon: () => {},
    close: () => {},
  };
  const container = {
    id: "id",
    label: "box",
    type: "kv" as const,
    pool: "pool",
    state: "ready" as const,
    usedBytes: 0,
    snapshots: 0,
    createdAt: "",
    properties: { oclass: "S1" },
  };
  const map = {
    version: 1,
    targets: Array.from({ length: targets }, (_, index) => ({
      ...servingTarget({ index, host: "h", port: index + 1 }),
      rank: index,
    })),
  };
  const opened = { container, map, capability: new Uint8Array(1) };
  const world = simulatedWorld(1);
  const session = new ContainerSession(opened, {
    world,
    clock: new HybridLogicalClock(() => 0),
    connections: new TargetConnections(() => Promise.resolve(link), world.timers, 1000),
    buffers: new ReceiveBuffers(),
    schemes: new RedundancySchemes([]),
    readOnly: false,
    timeoutMs: 1000,
    retryWindowMs: 5000,
    stagedUpdateBytes: STAGED_UPDATE_BYTES,
    reopen: () => (isControlPlaneAway ? new Promise(() => {}) : Promise.resolve(opened)),
    closed: () => {},
  });
  return { operations: new ObjectOperations(session, 0 as Epoch), world, starts: () => starts, numbers };
}

const OID = objectId("KV_LEXICAL", objectClassByName("S1"), 0, 1n);

async function conditionalPut(operations: ObjectOperations): Promise<string> {
  const key = byteStringOfText("k");
  const put = operations.updateValue(OID, key, key, new Uint8Array(1), { condition: "ifAbsent" });
  return put.then(
    (epoch) => `epoch ${epoch}`,
    (error: DaosError) => error.code,
  );
}

test("a conditional write that never left is sent until it does", async () => {
  const { operations, starts } = sessionOver(["unsent", "unsent", "unsent"]);
  expect(await conditionalPut(operations)).toBe("epoch 77");
  expect(starts()).toBe(4);
  // By now the target is attached: the hot way fails in the same manner.
  const again = sessionOver([]);
  await conditionalPut(again.operations);
  expect(await conditionalPut(again.operations)).toBe("epoch 77");
  expect(again.starts()).toBe(2);
});

test("a target that did not answer is asked again, though the control plane does not answer at all", async () => {
  const { operations, starts, world } = sessionOver(["sent", "sent"], 1, true);
  let outcome = "none";
  void conditionalPut(operations).then((code) => (outcome = code));
  await world.timers.advance(2_000);
  expect([outcome, starts()]).toEqual(["epoch 77", 3]);
});

test("a conditional write that may have left is sent again under its number: it takes effect once", async () => {
  for (const outcomes of [["sent"], ["unsent", "sent"]] as const) {
    const { operations, starts } = sessionOver([...outcomes]);
    expect(await conditionalPut(operations)).toBe("epoch 77");
    expect(starts()).toBe(outcomes.length + 1);
  }
});

test("a write whose number is too old takes another one, unless it may have happened under the first", async () => {
  for (const [outcomes, numbers] of [
    [["old"], [1, 2]],
    [
      ["unsent", "old", "old"],
      [1, 1, 2, 3],
    ],
  ] as const) {
    const session = sessionOver([...outcomes]);
    expect(await conditionalPut(session.operations)).toBe("epoch 77");
    expect(session.numbers).toEqual(numbers);
  }
  const { operations, numbers } = sessionOver(["sent", "old"]);
  expect(await conditionalPut(operations)).toBe("OLD_REQUEST");
  expect(numbers).toEqual([1, 1]);
  // Whoever refuses whatever comes is not asked for ever.
  const refused = sessionOver(["old", "old", "old", "old"]);
  expect(await conditionalPut(refused.operations)).toBe("OLD_REQUEST");
  expect(refused.numbers).toEqual([1, 2, 3, 4]);
});

test("also where the target is attached already", async () => {
  const outcomes: "old"[] = [];
  const { operations, numbers } = sessionOver(outcomes);
  await conditionalPut(operations);
  outcomes.push("old");
  expect(await conditionalPut(operations)).toBe("epoch 77");
  expect(numbers).toEqual([1, 2, 3]);
});

const COPIED = objectId("KV_LEXICAL", objectClassByName("RP_2G1"), 0, 1n);

for (const before of ["stale", "unsent"] as const) {
  test(`a damaged copy is passed over for another one, also when the read was ${before} before`, async () => {
    const { operations, starts } = sessionOver([before, "corrupt"], 2);
    await operations.fetchValue(COPIED, byteStringOfText("k"), byteStringOfText("v"));
    expect(starts()).toBe(3);
  });
}

test("a copy that is damaged on its way is passed over for another one", async () => {
  const { operations, starts } = sessionOver(["garbled"], 2);
  await operations.fetchValue(COPIED, byteStringOfText("k"), byteStringOfText("v"));
  expect(starts()).toBe(2);
});

test("of two copies one is damaged and one away: the read waits for that one", async () => {
  const { operations, starts } = sessionOver(["corrupt", "sent", "corrupt"], 2);
  await operations.fetchValue(COPIED, byteStringOfText("k"), byteStringOfText("v"));
  expect(starts()).toBe(4);
  const other = sessionOver(["sent", "corrupt", "sent", "corrupt"], 2);
  await other.operations.fetchValue(COPIED, byteStringOfText("k"), byteStringOfText("v"));
  expect(other.starts()).toBe(5);
});

test("what is damaged on both copies is so once each has been asked", async () => {
  const { operations, starts } = sessionOver(["corrupt", "corrupt"], 2);
  const reading = operations.fetchValue(COPIED, byteStringOfText("k"), byteStringOfText("v"));
  await expect(reading).rejects.toMatchObject({ code: "CORRUPT" });
  expect(starts()).toBe(2);
});

/** What it has resolved to after so many milliseconds. */
async function outcomeIn(world: SimulatedWorld, milliseconds: number, promise: Promise<string>): Promise<string> {
  let outcome = "none";
  void promise.then((code) => (outcome = code));
  await world.timers.advance(milliseconds);
  return outcome;
}

test("an update that is damaged on its way, or whose answer is, is sent again under its number", async () => {
  const { operations, world, starts, numbers } = sessionOver(["damaged", "answerDamaged", "damaged"]);
  expect(await outcomeIn(world, 2_000, conditionalPut(operations))).toBe("epoch 77");
  expect(starts()).toBe(4);
  expect(new Set(numbers).size).toBe(1);
});

test.each(["damaged", "answerDamaged"] as const)("what is %s each time ends as CORRUPT", async (outcome) => {
  const { operations, world, starts } = sessionOver(Array(100).fill(outcome));
  expect(await outcomeIn(world, 10_000, conditionalPut(operations))).toBe("CORRUPT");
  expect(starts()).toBeGreaterThan(3);
});

test("bytes that the caller changes before the call is answered end it as CORRUPT, if they are damaged so", async () => {
  for (const [changes, starts] of [
    [true, 2],
    [false, 3],
  ] as const) {
    const session = sessionOver(["damaged", "damaged"]);
    const key = byteStringOfText("k");
    const value = Uint8Array.of(1, 2, 3);
    const put = session.operations.updateValue(OID, key, key, value).then(
      (epoch) => `epoch ${epoch}`,
      (error: DaosError) => error.code,
    );
    // The first sending is on its way by then.
    await Promise.resolve();
    if (changes) value[1] = 9;
    expect(await outcomeIn(session.world, 2_000, put)).toBe(changes ? "CORRUPT" : "epoch 77");
    expect(session.starts()).toBeLessThanOrEqual(starts);
  }
});
