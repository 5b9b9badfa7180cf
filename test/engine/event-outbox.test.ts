/** Events on their way to the control plane: kept until they are taken, bounded, in order. */
import { expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { MAX_EVENT_MESSAGE, MAX_PENDING_EVENTS } from "../../src/base/limits.ts";
import { EventOutbox } from "../../src/engine/event-outbox.ts";
import type { ReportedEvent } from "../../src/format/event-operations.ts";
import { simulatedWorld, type SimulatedWorld } from "../simulation/world.ts";

interface Rig {
  readonly world: SimulatedWorld;
  readonly outbox: EventOutbox;
  readonly shown: string[];
  readonly taken: ReportedEvent[];
  /** How many deliveries are refused from now on. */
  refusals: number;
  readonly deliver: (events: readonly ReportedEvent[]) => Promise<void>;
}

function rig(): Rig {
  const world = simulatedWorld(1);
  const shown: string[] = [];
  const { clock, timers } = world;
  const outbox = new EventOutbox({ clock, timers, show: (severity, message) => shown.push(`${severity}: ${message}`) });
  const made: Rig = {
    world,
    outbox,
    shown,
    taken: [],
    refusals: 0,
    deliver: async (events) => {
      if (made.refusals > 0) {
        made.refusals -= 1;
        throw new DaosError("UNAVAILABLE", "Cannot take events: nobody leads.");
      }
      made.taken.push(...events);
    },
  };
  return made;
}

test("events are shown at once, and kept until there is somebody to tell; plain lines are only shown", async () => {
  const { world, outbox, shown, taken, deliver } = rig();
  outbox.tell("device_faulty", "device d is faulty", { rank: 1, device: "d" });
  outbox.tell("info", "nothing to keep");
  expect(shown).toEqual(["error: device d is faulty [device_faulty]", "info: nothing to keep"]);
  outbox.start(deliver);
  await world.timers.advance(0);
  expect(taken).toMatchObject([{ sequence: 1, id: "device_faulty", severity: "error", rank: 1, device: "d" }]);
  expect(outbox.counts).toEqual({ device_faulty: 1 });
});

test("what is refused is tried again, in order and once", async () => {
  const made = rig();
  const { world, outbox, taken, deliver } = made;
  made.refusals = 2;
  outbox.start(deliver);
  outbox.tell("pool_created", "a");
  outbox.tell("pool_created", "b");
  await world.timers.advance(500);
  outbox.tell("pool_created", "c");
  await world.timers.advance(3_000);
  expect(taken.map(({ sequence, message }) => `${sequence} ${message}`)).toEqual(["1 a", "2 b", "3 c"]);
});

test("of too many only the number is told, and a long message is cut", async () => {
  const { world, outbox, taken, deliver } = rig();
  for (let number = 0; number < MAX_PENDING_EVENTS + 9; number += 1) outbox.tell("pool_created", "x".repeat(9_999));
  outbox.start(deliver);
  await world.timers.advance(0);
  expect(taken).toHaveLength(MAX_PENDING_EVENTS);
  expect(taken[0]!.message).toHaveLength(MAX_EVENT_MESSAGE);
  expect(taken.at(-1)).toMatchObject({ id: "events_lost", sequence: MAX_PENDING_EVENTS });
  expect(taken.at(-1)!.message).toContain("10 event(s)");
});

test("close tries once more and not again", async () => {
  const made = rig();
  const { world, outbox, taken, deliver } = made;
  made.refusals = 1;
  outbox.start(deliver);
  outbox.tell("pool_created", "a");
  await world.timers.advance(0);
  expect(taken).toEqual([]);
  await outbox.close();
  expect(taken.map(({ message }) => message)).toEqual(["a"]);
  made.refusals = 1;
  outbox.tell("pool_created", "b");
  await world.timers.advance(10_000);
  expect(taken).toHaveLength(1);
});

test("what happens while others are on their way is sent after them", async () => {
  const { world, outbox, taken, deliver } = rig();
  let arrived: () => void = () => {};
  outbox.start(async (events) => {
    await new Promise<void>((resolve) => (arrived = resolve));
    await deliver(events);
  });
  outbox.tell("pool_created", "a");
  await world.timers.advance(0);
  outbox.tell("pool_created", "b");
  arrived();
  await world.timers.advance(0);
  arrived();
  await world.timers.advance(0);
  expect(taken.map(({ message }) => message)).toEqual(["a", "b"]);
});
