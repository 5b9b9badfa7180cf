/**
 * Requests that are sent again, since their answer was lost with the leader that ran them: each has its effect once, and is
 * answered as done, whichever step the leader died at.
 */
import { expect, test } from "bun:test";
import type { Epoch } from "../../src/base/epoch.ts";
import { MIB } from "../../src/base/limits.ts";
import { KeyedLock } from "../../src/control/keyed-lock.ts";
import { MetaRecords, putRecord } from "../../src/control/meta-records.ts";
import { RequestOutcomes } from "../../src/control/request-outcomes.ts";
import { poolLabelKey, REQUESTS_PREFIX } from "../../src/format/meta-key.ts";
import { type ContainerDescription, Opcode, type PoolDescription } from "../../src/format/operations.ts";
import type { RequestId } from "../../src/format/request-id.ts";
import { CrashPoint, Crashed } from "./crash-point.ts";
import { tankRig } from "./engines-rig.ts";
import { codeOf, emptyDurable, expectConsistent, type Harness, start } from "./harness.ts";
import { MemoryMetaStore } from "./memory-meta-store.ts";

const ID = "99999999-2222-4333-8444-555555555555";
const tank = { pool: "tank" };
const box = { pool: "tank", container: "box" };

function requestOf(sequence: number, client = 7, firstIncomplete = 1): { readonly request: RequestId } {
  return { request: { client, sequence, firstIncomplete, issued: (1000 + sequence) as Epoch } };
}

async function tankWithBox({ plane }: Harness): Promise<void> {
  await plane.call(Opcode.poolCreate, { label: "tank", sizeBytes: 64 * MIB });
  await plane.call(Opcode.containerCreate, { ...tank, label: "box", type: "kv" });
  await plane.call(Opcode.snapshotCreate, { ...box, name: "first" });
}

/** Everything that there is, in one line. */
async function look({ plane }: Harness): Promise<string> {
  const seen: string[] = [];
  for (const pool of (await plane.pools.list({})).pools) {
    seen.push(`${pool.label}:${pool.sizeBytes / MIB}`);
    for (const { label, properties } of (await plane.containers.list({ pool: pool.label })).containers) {
      const { snapshots } = await plane.snapshots.list({ pool: pool.label, container: label });
      const owner = properties["user.owner"];
      seen.push(`${label}${owner === undefined ? "" : `=${owner}`}[${snapshots.map(({ name }) => name).join()}]`);
    }
  }
  return seen.join(" ");
}

interface Scenario {
  readonly name: string;
  readonly prepare: (harness: Harness) => Promise<unknown>;
  readonly opcode: Opcode;
  readonly args: object;
  readonly after: string | RegExp;
}

const SCENARIOS: readonly Scenario[] = [
  {
    name: "pool create",
    prepare: async () => undefined,
    opcode: Opcode.poolCreate,
    args: { label: "tank", sizeBytes: 64 * MIB },
    after: "tank:64",
  },
  {
    name: "pool set-prop label and size",
    prepare: tankWithBox,
    opcode: Opcode.poolSetProperties,
    args: { ...tank, properties: { label: "tonk", size: "128MiB" } },
    after: "tonk:128 box[first]",
  },
  {
    name: "pool destroy",
    prepare: tankWithBox,
    opcode: Opcode.poolDestroy,
    args: { ...tank, force: true },
    after: "",
  },
  {
    name: "container create",
    prepare: tankWithBox,
    opcode: Opcode.containerCreate,
    args: { ...tank, label: "crate", type: "kv" },
    after: "tank:64 box[first] crate[]",
  },
  {
    name: "container set-prop label",
    prepare: tankWithBox,
    opcode: Opcode.containerSetProperties,
    args: { ...box, properties: { label: "crate", "user.owner": "ann" } },
    after: "tank:64 crate=ann[first]",
  },
  {
    name: "container destroy",
    prepare: tankWithBox,
    opcode: Opcode.containerDestroy,
    args: { ...box, force: true },
    after: "tank:64",
  },
  {
    name: "snapshot create",
    prepare: tankWithBox,
    opcode: Opcode.snapshotCreate,
    args: { ...box, name: "second" },
    after: "tank:64 box[first,second]",
  },
  {
    name: "unnamed snapshot create",
    prepare: tankWithBox,
    opcode: Opcode.snapshotCreate,
    args: { ...box, name: "" },
    after: /^tank:64 box\[first,\d+\]$/,
  },
  {
    name: "snapshot destroy",
    prepare: tankWithBox,
    opcode: Opcode.snapshotDestroy,
    args: { ...box, name: "first" },
    after: "tank:64 box[]",
  },
];

/** False when the request ended before that step. */
async function sentAgain({ prepare, opcode, args, after }: Scenario, at: number, isAfter: boolean): Promise<boolean> {
  const durable = emptyDurable();
  const first = await start(durable);
  await prepare(first);
  const crash = new CrashPoint(at, isAfter);
  const second = await start(durable, crash);
  for (const [number, pool] of first.targets.open) second.targets.open.set(number, pool);
  const send = ({ plane }: Harness): Promise<object> => plane.call(opcode, { ...args, ...requestOf(3) });
  let isCut = false;
  try {
    await send(second);
  } catch (error) {
    if (!(error instanceof Crashed)) throw error;
    isCut = true;
  }
  const last = await start(durable);
  expect((await last.plane.resume()).failures).toEqual([]);
  const answers = [await send(last), await send(last)];
  expect(answers[1]).toEqual(answers[0]!);
  if (typeof after === "string") expect(await look(last)).toBe(after);
  else expect(await look(last)).toMatch(after);
  expectConsistent(durable, last.targets);
  return isCut;
}

for (const scenario of SCENARIOS) {
  for (const isAfter of [false, true]) {
    test(`${scenario.name}, cut off ${isAfter ? "after" : "before"} each step and sent again, happens once`, async () => {
      let at = 1;
      while (await sentAgain(scenario, at, isAfter)) at += 1;
      expect(at).toBeGreaterThan(1);
    });
  }
}

test("a request that is sent again does not undo what somebody has done since, nor is it done to another thing", async () => {
  const rig = await tankRig(3);
  const exclude = { ...tank, ranks: [1], ...requestOf(1) };
  await rig.plane.call(Opcode.poolExclude, { ...exclude, force: true });
  await rig.plane.call(Opcode.poolReintegrate, { ...tank, ranks: [1], ...requestOf(1, 8) });
  await rig.plane.call(Opcode.poolExclude, { ...exclude, force: true });
  const { map } = await rig.plane.maps.queryTargets(tank);
  expect(map.targets.map(({ state }) => state)).toEqual(["UPIN", "UPIN", "UPIN"]);
  await rig.plane.call(Opcode.poolReintegrate, { ...tank, ranks: [1], ...requestOf(1, 8) });
  expect((await rig.plane.maps.queryTargets(tank)).map.version).toBe(map.version);

  const { plane } = await start();
  const create = { label: "tank", sizeBytes: 64 * MIB };
  const { id } = (await plane.call(Opcode.poolCreate, { ...create, ...requestOf(1) })) as PoolDescription;
  await plane.call(Opcode.poolDestroy, { ...tank, force: false, ...requestOf(2) });
  const other = (await plane.call(Opcode.poolCreate, { ...create, ...requestOf(1, 8) })) as PoolDescription;
  expect(other.id).not.toBe(id);
  await plane.call(Opcode.poolDestroy, { ...tank, force: false, ...requestOf(2) });
  expect((await plane.pools.query(tank)).id).toBe(other.id);
  expect(await codeOf(plane.call(Opcode.poolCreate, { ...create, ...requestOf(1) }))).toBe("NOT_FOUND");
});

test("copies of a request that run at once, at one admin's leader and at another's, are one", async () => {
  const durable = emptyDurable();
  const [one, two] = [await start(durable), await start(durable)];
  const create = { label: "tank", sizeBytes: 64 * MIB, ...requestOf(1) };
  const pools = await Promise.all(
    [one, one, two].map(({ plane }) => plane.call(Opcode.poolCreate, create) as Promise<PoolDescription>),
  );
  expect(new Set(pools.map(({ id }) => id)).size).toBe(1);
  const container = { ...tank, label: "box", type: "kv", ...requestOf(2) };
  const boxes = await Promise.all(
    [one, one].map(({ plane }) => plane.call(Opcode.containerCreate, container) as Promise<ContainerDescription>),
  );
  expect(new Set(boxes.map(({ id }) => id)).size).toBe(1);
});

test("two admins send everything twice: each of their requests happens once", async () => {
  const durable = emptyDurable();
  const { plane, targets } = await start(durable);
  await plane.pools.create({ label: "tank", sizeBytes: 64 * MIB });
  const made: Promise<ContainerDescription>[] = [];
  for (let sequence = 1; sequence <= 20; sequence += 1) {
    for (const client of [7, 8]) {
      const create = { ...tank, label: `c${client}-${sequence}`, type: "kv", ...requestOf(sequence, client) };
      const send = (): Promise<ContainerDescription> =>
        plane.call(Opcode.containerCreate, create) as Promise<ContainerDescription>;
      made.push(send().then(send), send());
    }
  }
  expect(new Set((await Promise.all(made)).map(({ id }) => id)).size).toBe(40);
  expect((await plane.pools.query(tank)).containers).toBe(40);
  expectConsistent(durable, targets);
});

test("a request that failed is run when it is sent again", async () => {
  const { plane } = await start();
  const create = { ...tank, label: "box", type: "kv", ...requestOf(1) };
  expect(await codeOf(plane.call(Opcode.containerCreate, create))).toBe("NOT_FOUND");
  await plane.pools.create({ label: "tank", sizeBytes: 64 * MIB });
  await plane.call(Opcode.containerCreate, create);
  expect((await plane.pools.query(tank)).containers).toBe(1);
});

test("an id that cannot be one is refused", async () => {
  const { plane } = await start();
  for (const request of [7, {}, { ...requestOf(1).request, sequence: 0 }, requestOf(1, 7, 2).request]) {
    const create = { label: "tank", sizeBytes: 64 * MIB, request };
    expect(await codeOf(plane.call(Opcode.poolCreate, create))).toBe("INVALID_ARGUMENT");
  }
});

/** Requests that write their labels. */
function outcomesRig(maxClients: number): {
  readonly store: MemoryMetaStore;
  readonly send: (client: number, sequence: number, firstIncomplete?: number, issued?: number) => Promise<string>;
} {
  const store = new MemoryMetaStore();
  const records = new MetaRecords(store);
  const outcomes = new RequestOutcomes(records, new KeyedLock(), maxClients);
  return {
    store,
    send: (client, sequence, firstIncomplete = 1, issued = sequence) =>
      outcomes.once(
        { client, sequence, firstIncomplete, issued: issued as Epoch },
        (mark) =>
          records.change("write", async () => {
            const operations = [putRecord("label", poolLabelKey(`${client}-${sequence}`), { id: ID })];
            return mark({ compares: [], operations, result: "done" }, "it");
          }),
        async (subject) => `again ${subject}`,
      ),
  };
}

test("what a client acknowledges is forgotten; what it asks for all the same is OLD_REQUEST", async () => {
  const { send } = outcomesRig(8);
  for (const sequence of [1, 2, 3]) expect(await send(7, sequence)).toBe("done");
  expect(await send(7, 2)).toBe("again it");
  expect(await send(7, 4, 3)).toBe("done");
  expect(await send(7, 3)).toBe("again it");
  expect(await codeOf(send(7, 2))).toBe("OLD_REQUEST");
});

test("of too many clients the older ones are forgotten: their requests are OLD_REQUEST, later ones are run", async () => {
  const { store, send } = outcomesRig(4);
  for (let client = 1; client <= 100; client += 1) expect(await send(client, 1, 1, 100 * client)).toBe("done");
  const kept = [...store.state.entries.keys()].filter((key) => key.startsWith(REQUESTS_PREFIX));
  expect(kept.length).toBeLessThanOrEqual(4);
  expect(await send(100, 1, 1, 10_000)).toBe("again it");
  expect(await codeOf(send(1, 1, 1, 100))).toBe("OLD_REQUEST");
  expect(await codeOf(send(555, 1, 1, 100))).toBe("OLD_REQUEST");
  expect(await send(555, 2, 1, 20_000)).toBe("done");
});
