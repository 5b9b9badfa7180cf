/** A disagreement of each class is planted, found, repaired, and not found again; what is in order is never found. */
import { afterEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Epoch, epochFrom } from "../../src/base/epoch.ts";
import { DaosError } from "../../src/base/errors.ts";
import { GIB } from "../../src/base/limits.ts";
import { CHECK_CLASSES, type CheckClassName } from "../../src/format/check-classes.ts";
import type { CheckArguments, CheckFinding } from "../../src/format/check-operations.ts";
import {
  containerKey,
  containerLabelKey,
  mapKey,
  memberKey,
  poolKey,
  poolLabelKey,
  removalKey,
  snapshotKey,
} from "../../src/format/meta-key.ts";
import {
  decodeMetaRecord,
  encodeMetaRecord,
  type MetaRecord,
  type MetaRecordKind,
} from "../../src/format/meta-record.ts";
import { type EnginesRig, enginesRig, type MemoryEngine, tankRig } from "./engines-rig.ts";
import { codeOf } from "./harness.ts";

const STEP_MS = 100;

class CheckRig {
  readonly rig: EnginesRig;
  readonly pool: string;
  readonly box: string;

  constructor(rig: EnginesRig, pool: string, box: string) {
    this.rig = rig;
    this.pool = pool;
    this.box = box;
  }

  engine(index: number): MemoryEngine {
    return this.rig.engines[index]!;
  }

  get<Kind extends MetaRecordKind>(kind: Kind, key: string): MetaRecord<Kind> | undefined {
    const entry = this.rig.meta.entries.get(key);
    return entry === undefined ? undefined : decodeMetaRecord(kind, key, entry.value);
  }

  put<Kind extends MetaRecordKind>(kind: Kind, key: string, record: MetaRecord<Kind>): void {
    const revision = (this.rig.meta.revision += 1);
    this.rig.meta.entries.set(key, { value: encodeMetaRecord(kind, record), revision });
  }

  remove(key: string): void {
    this.rig.meta.revision += 1;
    expect(this.rig.meta.entries.delete(key)).toBe(true);
  }

  change<Kind extends MetaRecordKind>(kind: Kind, key: string, changes: Partial<MetaRecord<Kind>>): void {
    this.put(kind, key, { ...this.get(kind, key)!, ...changes });
  }

  /** Time passes while `work` runs: engines are heard of. */
  async while<Result>(work: Promise<Result>, alive = [1, 2]): Promise<Result> {
    let isOver = false;
    const ended = work.finally(() => (isOver = true));
    ended.catch(() => {});
    while (!isOver) {
      for (const index of alive) if (this.rig.heartbeat(index) === 0) await this.rig.join(index);
      await this.rig.world.timers.advance(STEP_MS);
    }
    return ended;
  }

  async check(args: Partial<CheckArguments> = {}, alive?: number[]): Promise<CheckFinding[]> {
    const found: CheckFinding[] = [];
    for (let after: string | undefined, isDone = false; !isDone;) {
      const step = this.rig.plane.check.step({ repair: false, ...args, ...(after !== undefined && { after }) });
      const reply = await this.while(step, alive);
      found.push(...reply.findings);
      after = reply.next;
      isDone = after === undefined;
    }
    return found;
  }

  async classes(args: Partial<CheckArguments> = {}): Promise<CheckClassName[]> {
    return [...new Set((await this.check(args)).map((finding) => finding.class))];
  }
}

let ended: (() => void) | undefined;
afterEach(() => ended?.());

async function checkRig(): Promise<CheckRig> {
  const rig = await tankRig(3);
  ended = () => rig.world.timers.end();
  const { pools } = await rig.plane.pools.list({});
  const { containers } = await rig.plane.containers.list({ pool: "tank" });
  return new CheckRig(rig, pools[0]!.id, containers[0]!.id);
}

interface Planted {
  /** What is found; the first one is what was planted. */
  readonly classes: readonly CheckClassName[];
  readonly plant: (own: CheckRig) => void | Promise<void>;
  readonly policies?: Partial<Record<CheckClassName, string>>;
  /** What is to be after the repair. */
  readonly then?: (own: CheckRig) => void | Promise<void>;
}

const number = (own: CheckRig): number => own.get("container", containerKey(own.pool, own.box))!.number;

async function snapshot(own: CheckRig): Promise<Epoch> {
  return (await own.while(own.rig.plane.snapshots.create({ pool: "tank", container: "box", name: "dawn" }))).epoch;
}

const PLANTED: Readonly<Record<string, Planted>> = {
  "an engine that does not know a pool which it serves": {
    classes: ["POOL_NONEXIST_ON_ENGINE", "CONT_NONEXIST_ON_TARGET"],
    plant: (own) => {
      own.engine(1).restart();
      own.engine(1).incarnation -= 1;
    },
    then: (own) => expect(own.engine(1).assignments.has(own.pool)).toBe(true),
  },
  "an engine that goes by an older map": {
    classes: ["POOL_BAD_MAP"],
    plant: (own) => {
      const map = own.get("map", mapKey(own.pool))!;
      own.put("map", mapKey(own.pool), { ...map, version: 2 });
      for (const index of [0, 2]) {
        const { assignments } = own.engine(index);
        const known = assignments.get(own.pool)!;
        assignments.set(own.pool, { ...known, map: { ...known.map, version: 2 } });
      }
    },
    then: (own) => expect(own.engine(1).assignments.get(own.pool)!.map.version).toBe(2),
  },
  "records that are older than what the engines go by": {
    classes: ["POOL_OLD_MAP"],
    plant: async (own) => {
      const before = own.get("map", mapKey(own.pool))!;
      await own.while(own.rig.plane.maps.exclude({ pool: "tank", ranks: [2], force: true }));
      own.put("map", mapKey(own.pool), before);
    },
    then: (own) => {
      const map = own.get("map", mapKey(own.pool))!;
      expect(map.version).toBe(2);
      expect(map.targets.map(({ state }) => state)).toEqual(["UPIN", "UPIN", "DOWN"]);
    },
  },
  "a pool of which the records are gone": {
    classes: ["POOL_NONEXIST_ON_MS", "CONT_NONEXIST_ON_PS"],
    plant: (own) => {
      for (const key of [poolKey(own.pool), poolLabelKey("tank"), mapKey(own.pool)]) own.remove(key);
      for (const key of [containerKey(own.pool, own.box), containerLabelKey(own.pool, "box")]) own.remove(key);
      // The engines are started anew, and know of it what they have noted.
      for (const index of [0, 1, 2]) own.engine(index).restart();
      for (const index of [0, 1, 2]) own.engine(index).incarnation -= 1;
    },
    then: async (own) => {
      const { pools } = await own.rig.plane.pools.list({});
      expect(pools.map(({ id, label, containers }) => [id, label, containers])).toEqual([[own.pool, "tank", 1]]);
      const { containers } = await own.rig.plane.containers.list({ pool: "tank" });
      expect(containers.map(({ id, label, type }) => [id, label, type])).toEqual([[own.box, "box", "kv"]]);
      expect(own.engine(2).open.size).toBe(1);
    },
  },
  "a pool of which the records are gone, and which is not wanted": {
    classes: ["POOL_NONEXIST_ON_MS", "CONT_NONEXIST_ON_PS"],
    policies: { POOL_NONEXIST_ON_MS: "DISCARD" },
    plant: (own) => {
      for (const key of [poolKey(own.pool), poolLabelKey("tank"), mapKey(own.pool)]) own.remove(key);
      for (const key of [containerKey(own.pool, own.box), containerLabelKey(own.pool, "box")]) own.remove(key);
    },
    then: (own) => {
      for (const index of [0, 1, 2]) {
        expect([...own.engine(index).destroyed]).toEqual([1]);
        expect(own.engine(index).target.poolNotes.size).toBe(0);
      }
    },
  },
  "a pool that was destroyed while an engine was away, and that engine has it still": {
    classes: ["POOL_HALF_REMOVED"],
    plant: (own) => {
      const id = own.pool.replace(/^./, "0").replace(/^../, "00");
      const { note, map } = own.engine(1).target.poolNotes.get(own.pool)!;
      own.engine(1).target.poolNotes.set(id, { note, map });
      own.put("removal", removalKey(1, id), { pool: id });
    },
    then: (own) => {
      expect(own.engine(1).target.poolNotes.size).toBe(1);
      expect([...own.rig.meta.entries.keys()].filter((key) => key.startsWith("removal/"))).toEqual([]);
    },
  },
  "a pool that is being destroyed by nobody": {
    classes: ["POOL_HALF_REMOVED"],
    plant: (own) => own.change("pool", poolKey(own.pool), { state: "destroying" }),
    then: async (own) => expect((await own.rig.plane.pools.list({})).pools).toEqual([]),
  },
  "a pool without its label": {
    classes: ["POOL_BAD_LABEL"],
    plant: (own) => own.remove(poolLabelKey("tank")),
    then: async (own) => expect((await own.rig.plane.pools.query({ pool: "tank" })).id).toBe(own.pool),
  },
  "two pools of one label": {
    classes: ["POOL_BAD_LABEL"],
    plant: async (own) => {
      const twin = await own.while(own.rig.plane.pools.create({ label: "twin", sizeBytes: GIB }));
      own.change("pool", poolKey(twin.id), { label: "tank" });
    },
    then: async (own) => {
      const labels = (await own.rig.plane.pools.list({})).pools.map(({ label }) => label);
      expect(labels).toEqual(["tank", expect.stringMatching(/^tank-[0-9a-f]{8}$/)]);
    },
  },
  "a label of nothing": {
    classes: ["POOL_BAD_LABEL"],
    plant: (own) => own.put("label", poolLabelKey("ghost"), { id: own.box }),
    then: (own) => expect(own.get("label", poolLabelKey("ghost"))).toBeUndefined(),
  },
  "a wrong count of containers": {
    classes: ["POOL_BAD_COUNT"],
    plant: (own) => own.change("pool", poolKey(own.pool), { containers: 7 }),
    then: (own) => expect(own.get("pool", poolKey(own.pool))!.containers).toBe(1),
  },
  "a quota that is not that of the records": {
    classes: ["POOL_BAD_QUOTA"],
    plant: (own) => {
      const { quotas } = own.engine(2);
      quotas.set(own.pool, { ...quotas.get(own.pool)!, targetBytes: 7 });
    },
    then: (own) => expect(own.engine(2).quotas.get(own.pool)!.targetBytes).toBe(Math.floor(GIB / 3)),
  },
  "a pool that a target has no note of": {
    classes: ["POOL_BAD_NOTE"],
    plant: (own) => own.engine(1).target.poolNotes.clear(),
    then: (own) => expect(own.engine(1).target.poolNotes.size).toBe(1),
  },
  "a container that a target does not serve": {
    classes: ["CONT_NONEXIST_ON_TARGET"],
    plant: (own) => own.engine(1).open.clear(),
    then: (own) => expect([...own.engine(1).open]).toEqual([number(own)]),
  },
  "a container of which the records are gone": {
    classes: ["CONT_NONEXIST_ON_PS", "POOL_BAD_COUNT", "POOL_BAD_QUOTA"],
    plant: (own) => {
      own.remove(containerKey(own.pool, own.box));
      own.remove(containerLabelKey(own.pool, "box"));
      own.put("label", containerLabelKey(own.pool, "box"), { id: own.pool });
      own.remove(containerLabelKey(own.pool, "box"));
    },
    then: async (own) => {
      const { containers } = await own.rig.plane.containers.list({ pool: "tank" });
      expect(containers.map(({ id, label }) => [id, label])).toEqual([[own.box, "box"]]);
    },
  },
  "a container of which the records are gone, and which is not wanted": {
    classes: ["CONT_NONEXIST_ON_PS", "POOL_BAD_COUNT", "POOL_BAD_QUOTA"],
    policies: { CONT_NONEXIST_ON_PS: "DISCARD" },
    plant: (own) => {
      own.remove(containerKey(own.pool, own.box));
      own.remove(containerLabelKey(own.pool, "box"));
    },
    then: (own) => {
      for (const index of [0, 1, 2]) expect([...own.engine(index).destroyed]).toEqual([1]);
    },
  },
  "a container that was destroyed while an engine was away, and that engine has it still": {
    classes: ["CONT_HALF_REMOVED"],
    plant: (own) => {
      own.engine(1).target.notes.set(77, own.engine(1).target.notes.get(1)!);
      own.put("removal", removalKey(1, 77), { pool: own.pool });
    },
    then: (own) => {
      expect([...own.engine(1).destroyed]).toEqual([77]);
      expect(own.get("removal", removalKey(1, 77))).toBeUndefined();
    },
  },
  "a container that is being destroyed by nobody": {
    classes: ["CONT_HALF_REMOVED"],
    plant: (own) => own.change("container", containerKey(own.pool, own.box), { state: "destroying" }),
    then: async (own) => expect((await own.rig.plane.containers.list({ pool: "tank" })).containers).toEqual([]),
  },
  "a container that is being created by nobody": {
    classes: ["CONT_HALF_REMOVED"],
    plant: (own) => own.change("container", containerKey(own.pool, own.box), { state: "creating" }),
    then: (own) => expect(own.get("container", containerKey(own.pool, own.box))).toBeUndefined(),
  },
  "a container without its pool": {
    classes: ["CONT_WITHOUT_POOL"],
    policies: { CONT_WITHOUT_POOL: "DISCARD" },
    plant: (own) => {
      const record = own.get("container", containerKey(own.pool, own.box))!;
      own.put("container", containerKey(own.box, own.box), { ...record, pool: own.box, number: 55 });
      own.change("counter", "counter/container", { value: 55 });
    },
    then: (own) => expect(own.get("container", containerKey(own.box, own.box))).toBeUndefined(),
  },
  "a container without its label": {
    classes: ["CONT_BAD_LABEL"],
    plant: (own) => own.remove(containerLabelKey(own.pool, "box")),
    then: (own) => expect(own.get("label", containerLabelKey(own.pool, "box"))!.id).toBe(own.box),
  },
  "a container's label of nothing": {
    classes: ["CONT_BAD_LABEL"],
    plant: (own) => own.put("label", containerLabelKey(own.pool, "ghost"), { id: own.pool }),
    then: (own) => expect(own.get("label", containerLabelKey(own.pool, "ghost"))).toBeUndefined(),
  },
  "a number that might be given again": {
    classes: ["CONT_BAD_NUMBER"],
    plant: (own) => own.change("counter", "counter/container", { value: 0 }),
    then: (own) => expect(own.get("counter", "counter/container")!.value).toBe(1),
  },
  "a wrong count of snapshots": {
    classes: ["CONT_BAD_COUNT"],
    plant: (own) => own.change("container", containerKey(own.pool, own.box), { snapshots: 3 }),
    then: (own) => expect(own.get("container", containerKey(own.pool, own.box))!.snapshots).toBe(0),
  },
  "a container that a target has no note of": {
    classes: ["CONT_BAD_NOTE"],
    plant: (own) => own.engine(1).target.notes.clear(),
    then: (own) => expect(own.engine(1).target.notes.size).toBe(1),
  },
  "a property of a container by which its objects were not laid out": {
    classes: ["CONT_BAD_PROPERTY"],
    policies: { CONT_BAD_PROPERTY: "TRUST_TARGET" },
    plant: (own) => {
      const { properties } = own.get("container", containerKey(own.pool, own.box))!;
      own.change("container", containerKey(own.pool, own.box), { properties: { ...properties, rd_fac: 2 } });
    },
    then: (own) => expect(own.get("container", containerKey(own.pool, own.box))!.properties["rd_fac"]).toBe(0),
  },
  "a snapshot that no record names": {
    classes: ["SNAP_NONEXIST_ON_PS"],
    plant: (own) => {
      for (const index of [0, 1, 2]) own.engine(index).snapshots.set(number(own), new Set([epochFrom(4711)]));
    },
    then: (own) => {
      expect(own.get("snapshot", snapshotKey(own.box, "4711"))!.epoch).toBe(4711);
      expect(own.get("container", containerKey(own.pool, own.box))!.snapshots).toBe(1);
    },
  },
  "a snapshot that a target does not keep, which has all it shows": {
    classes: ["SNAP_NONEXIST_ON_TARGET"],
    plant: async (own) => {
      await snapshot(own);
      own.engine(1).snapshots.get(number(own))!.clear();
    },
    then: (own) => expect(own.engine(1).snapshots.get(number(own))!.size).toBe(1),
  },
  "a snapshot of which a target may not have all any more": {
    classes: ["SNAP_LOST"],
    policies: { SNAP_LOST: "DISCARD" },
    plant: async (own) => {
      const epoch = await snapshot(own);
      own.engine(1).snapshots.get(number(own))!.clear();
      own.engine(1).target.aggregatedTo = (epoch + 1) as Epoch;
    },
    then: (own) => {
      expect(own.get("snapshot", snapshotKey(own.box, "dawn"))).toBeUndefined();
      expect(own.engine(0).snapshots.get(number(own))!.size).toBe(0);
    },
  },
  "a snapshot that was begun and not ended": {
    classes: ["SNAP_HALF_MADE"],
    plant: async (own) => {
      await snapshot(own);
      own.change("snapshot", snapshotKey(own.box, "dawn"), { state: "destroying" });
    },
    then: (own) => expect(own.get("snapshot", snapshotKey(own.box, "dawn"))).toBeUndefined(),
  },
  "an update that nobody has decided": {
    classes: ["DTX_UNDECIDED"],
    plant: (own) => {
      const update = { client: 5, sequence: 6, container: number(own), ageMs: 70_000 };
      own.engine(1).target.undecided.set("5/6", update);
    },
    then: (own) => expect(own.engine(1).target.undecided.size).toBe(0),
  },
  "an update of a container that is gone": {
    classes: ["DTX_ORPHAN"],
    policies: { DTX_ORPHAN: "DISCARD" },
    plant: (own) => {
      own.engine(1).target.undecided.set("5/6", { client: 5, sequence: 6, container: 99, ageMs: 70_000 });
    },
    then: (own) => expect(own.engine(1).target.undecided.size).toBe(0),
  },
  "a decision that nobody needs": {
    classes: ["DTX_REMEMBERED"],
    plant: (own) => void own.engine(2).target.remembered.push({ client: 5, sequence: 6 }),
    then: (own) => expect(own.engine(2).target.remembered).toEqual([]),
  },
  "a dkey that does not belong where it is": {
    classes: ["OBJ_MISPLACED"],
    policies: { OBJ_MISPLACED: "DISCARD" },
    plant: (own) => {
      const [oid, dkey] = [new Uint8Array(16), Buffer.from("key")];
      const found = { kind: "misplaced", oid, dkey, target: 1, detail: "elsewhere", isElsewhere: true } as const;
      own.engine(1).target.dkeyPage = { mapVersion: 1, differences: [found] };
    },
    then: (own) => expect(own.engine(1).target.dkeyPage.differences).toEqual([]),
  },
  "a rank that is the same engine as another one": {
    classes: ["ENGINE_DUPLICATE"],
    policies: { ENGINE_DUPLICATE: "DISCARD" },
    plant: async (own) => {
      own.put("member", memberKey(9), { ...own.get("member", memberKey(1))!, rank: 9, state: "new", incarnation: 0 });
      await own.rig.plane.open();
      for (const index of [1, 2]) await own.rig.join(index);
    },
    then: (own) => expect(own.get("member", memberKey(9))).toBeUndefined(),
  },
  "a container on an engine that has no part in its pool": {
    classes: ["ENGINE_NONEXIST_IN_MAP"],
    policies: { ENGINE_NONEXIST_IN_MAP: "DISCARD" },
    plant: (own) => {
      const map = own.get("map", mapKey(own.pool))!;
      own.put("map", mapKey(own.pool), { ...map, version: 2, targets: map.targets.slice(0, 2) });
      own.change("pool", poolKey(own.pool), { sizeBytes: Math.floor(GIB / 3) * 2 });
      for (const index of [0, 1]) {
        const { assignments } = own.engine(index);
        const known = assignments.get(own.pool)!;
        assignments.set(own.pool, { ...known, map: { ...known.map, version: 2 } });
      }
    },
    then: (own) => expect([...own.engine(2).destroyed]).toEqual([1]),
  },
};

for (const [title, { classes, policies = {}, plant, then }] of Object.entries(PLANTED)) {
  test(`check: ${title}: found, left alone, repaired, and not found again`, async () => {
    const own = await checkRig();
    await plant(own);
    const found = await own.classes();
    expect(found).toContain(classes[0]!);
    // Nothing is changed by looking.
    expect(await own.classes()).toEqual(found);
    const repaired = await own.check({ repair: true, policies });
    expect(repaired.filter(({ outcome }) => outcome !== "repaired")).toEqual([]);
    expect(repaired.map((finding) => finding.class)).toContain(classes[0]!);
    await then?.(own);
    expect(await own.check()).toEqual([]);
  });
}

test("check: a system in order has nothing to find, also one with snapshots, several pools and a reintegration", async () => {
  const own = await checkRig();
  await snapshot(own);
  await own.while(own.rig.plane.pools.create({ label: "void", sizeBytes: GIB }));
  await own.while(own.rig.plane.containers.create({ pool: "void", label: "one", type: "kv" }));
  await own.while(
    own.rig.plane.containers.setProperties({ pool: "void", container: "one", properties: { label: "uno" } }),
  );
  await own.while(own.rig.plane.pools.setProperties({ pool: "void", properties: { label: "full", size: GIB / 2 } }));
  await own.while(own.rig.plane.maps.exclude({ pool: "tank", ranks: [2], force: true }));
  await own.while(own.rig.plane.maps.reintegrate({ pool: "tank", ranks: [2] }));
  expect(await own.check()).toEqual([]);
});

test("check: what nothing can be done about is told, with what to do", async () => {
  const own = await checkRig();
  own.engine(1).system = own.pool;
  own.engine(2).badDevices = [{ id: "disk", state: "unplugged", reason: "gone" }];
  own.change("pool", poolKey(own.pool), { sizeBytes: 8 * GIB });
  const found = await own.check();
  const byClass = new Map(found.map((finding) => [finding.class, finding]));
  for (const name of ["ENGINE_FOREIGN", "DEVICE_ABSENT", "POOL_OVERCOMMITTED"] as const) {
    expect(byClass.get(name)).toMatchObject({ action: "IGNORE", outcome: "found", advice: CHECK_CLASSES[name].advice });
  }
  const left = await own.check({ repair: true });
  expect(left.filter(({ action }) => action === "IGNORE").map(({ outcome }) => outcome)).toEqual([
    "found",
    "found",
    "found",
  ]);
});

test("check: an engine that is away is told, the others are compared, and a repair that needs it fails with the reason", async () => {
  const own = await checkRig();
  own.engine(2).isAway = true;
  own.engine(1).target.poolNotes.clear();
  const found = await own.check({}, [1]);
  expect(found.map((finding) => [finding.class, finding.place])).toEqual([
    ["ENGINE_UNREACHABLE", "rank 2"],
    ["POOL_BAD_NOTE", "pool tank, rank 1 target 0"],
  ]);
  own.engine(1).target.undecided.set("5/6", { client: 5, sequence: 6, container: number(own), ageMs: 70_000 });
  own.engine(1).target.decides = false;
  const repaired = await own.check({ repair: true }, [1]);
  const undecided = repaired.find((finding) => finding.class === "DTX_UNDECIDED");
  expect(undecided).toMatchObject({ outcome: "failed", reason: expect.stringContaining("has not decided it") });
});

test("check: an engine of a release without checks is told, and the others are compared", async () => {
  const own = await checkRig();
  const unknown = new DaosError("UNSUPPORTED", "Cannot run the call: not known here.");
  for (const name of ["identity", "check"] as const) own.engine(2).failures.set(name, unknown);
  own.engine(1).target.poolNotes.clear();
  const found = await own.check();
  expect(found.map((finding) => [finding.class, finding.place])).toEqual([
    ["ENGINE_UNREACHABLE", "rank 2"],
    ["POOL_BAD_NOTE", "pool tank, rank 1 target 0"],
  ]);
  expect(found[0]).toMatchObject({
    state: "it is joined and is of a release without checks: what it holds was not looked at",
    advice: "Upgrade the engine, and check again.",
  });
});

test("check: what changes while it is looked at is no finding", async () => {
  const own = await checkRig();
  own.engine(1).target.notes.clear();
  own.change("container", containerKey(own.pool, own.box), { snapshots: 4 });
  const looking = own.rig.plane.check.step({ repair: false, after: "containers " });
  // It has looked once; before it looks again all is well.
  await own.rig.world.timers.advance(100);
  own.change("container", containerKey(own.pool, own.box), { snapshots: 0 });
  const { findings } = await own.while(looking);
  expect(findings.map((finding) => finding.class)).toEqual(["CONT_BAD_NOTE"]);
});

test("check: a creation that is under way is waited for, and is no finding", async () => {
  const own = await checkRig();
  let release = (): void => {};
  own.engine(2).failures.clear();
  const held = new Promise<void>((resolve) => (release = resolve));
  own.rig.engines[2]!.gate = () => held;
  own.engine(2).assignments.clear();
  const creating = own.rig.plane.containers.create({ pool: "tank", label: "slow", type: "kv" });
  creating.catch(() => {});
  await own.rig.world.timers.advance(100);
  const looking = own.rig.plane.check.step({ repair: true, after: "containers " });
  await own.rig.world.timers.advance(2_000);
  release();
  await own.while(creating);
  expect((await own.while(looking)).findings.filter((finding) => finding.class === "CONT_HALF_REMOVED")).toEqual([]);
  expect((await own.rig.plane.containers.query({ pool: "tank", container: "slow" })).state).toBe("ready");
});

test("check: only what is of a pool when one is named", async () => {
  const own = await checkRig();
  const other = await own.while(own.rig.plane.pools.create({ label: "other", sizeBytes: GIB }));
  own.change("pool", poolKey(other.id), { containers: 5 });
  own.change("pool", poolKey(own.pool), { containers: 5 });
  expect((await own.check({ pool: "other" })).map(({ place }) => place)).toEqual(["pool other"]);
  expect((await own.check()).map(({ place }) => place).toSorted()).toEqual(["pool other", "pool tank"]);
  expect(await codeOf(own.rig.plane.check.step({ repair: false, pool: "none" }))).toBe("NOT_FOUND");
});

test("check: a pool that was destroyed while an engine was away is not taken up again, but forgotten there when it is back", async () => {
  const own = await checkRig();
  own.engine(2).isAway = true;
  await own.while(own.rig.plane.pools.destroy({ pool: "tank", force: true }), [1]);
  expect(own.get("removal", removalKey(2, own.pool))).toBeDefined();
  expect(own.engine(2).target.poolNotes.size).toBe(1);
  own.engine(2).restart();
  await own.rig.join(2);
  expect(own.engine(2).target.poolNotes.size + own.engine(2).target.notes.size).toBe(0);
  expect([...own.rig.meta.entries.keys()].filter((key) => key.startsWith("removal/"))).toEqual([]);
  expect(await own.check({ repair: true })).toEqual([]);
  expect((await own.rig.plane.pools.list({})).pools).toEqual([]);
});

test("check: what only an engine knows that has no part in the pool any more is not taken up again", async () => {
  const own = await checkRig();
  const map = own.get("map", mapKey(own.pool))!;
  const note = own.engine(2).target.notes.get(1)!;
  await own.while(own.rig.plane.containers.destroy({ pool: "tank", container: "box", force: true }));
  own.put("map", mapKey(own.pool), { ...map, targets: map.targets.slice(0, 2) });
  own.engine(2).target.notes.set(1, note);
  const found = (await own.check({ repair: true })).filter((finding) => finding.class === "CONT_NONEXIST_ON_PS");
  expect(found).toMatchObject([{ action: "IGNORE", outcome: "found" }]);
  expect((await own.rig.plane.containers.list({ pool: "tank" })).containers).toEqual([]);
});

test("check: another control plane goes on where one ended", async () => {
  const own = await checkRig();
  own.change("pool", poolKey(own.pool), { containers: 9 });
  own.change("container", containerKey(own.pool, own.box), { snapshots: 3 });
  let after: string | undefined;
  const seen: CheckClassName[] = [];
  do {
    const step = own.rig.plane.check.step({ repair: false, ...(after !== undefined && { after }) });
    const reply = await own.while(step);
    seen.push(...reply.findings.map((finding) => finding.class));
    after = reply.next;
  } while (after?.startsWith("containers") === false);
  expect(seen).toEqual(["POOL_BAD_COUNT"]);
  own.rig.plane.close();
  const { meta, engines, world } = own.rig;
  const rig = await enginesRig(3, { meta, engines, world });
  for (const index of [1, 2]) await rig.join(index);
  const next = new CheckRig(rig, own.pool, own.box);
  const reply = await next.while(rig.plane.check.step({ repair: true, after: after! }));
  expect(reply.findings.map((finding) => [finding.class, finding.outcome])).toEqual([["CONT_BAD_COUNT", "repaired"]]);
});

test("check: unknown classes, actions that are none of a class, and positions that are none are refused", async () => {
  const own = await checkRig();
  const refused = (args: Partial<CheckArguments>) => codeOf(own.rig.plane.check.step({ repair: false, ...args }));
  expect(await refused({ policies: { POOL_BAD_LABLE: "IGNORE" } })).toBe("INVALID_ARGUMENT");
  expect(await refused({ policies: { POOL_BAD_LABEL: "DISCARD" } })).toBe("INVALID_ARGUMENT");
  expect(await refused({ after: "nowhere 7" })).toBe("INVALID_ARGUMENT");
  expect(await refused({ after: "" })).toBe("INVALID_ARGUMENT");
});

test("check: a repair that fails is told, and the check goes on", async () => {
  const own = await checkRig();
  own.change("pool", poolKey(own.pool), { containers: 9 });
  own.engine(1).open.clear();
  own.engine(1).failures.set("openContainer", new DaosError("IO", "Cannot open: the disk says no."));
  const found = await own.check({ repair: true });
  expect(found.map((finding) => [finding.class, finding.outcome, finding.reason])).toEqual([
    ["POOL_BAD_COUNT", "repaired", undefined],
    ["CONT_NONEXIST_ON_TARGET", "failed", "Cannot open: the disk says no."],
  ]);
});

test("check: docs/admin.md has a row for each class, with its default and what may be done instead", () => {
  const text = readFileSync(join(import.meta.dir, "..", "..", "docs/admin.md"), "utf8");
  const rows = [...text.matchAll(/^\| `([A-Z_]+)` \| [^|]+ \| `([A-Z_]+)`[^|]* \| ([^|]*)\|$/gm)];
  const documented = rows.map(([, name, usual, others]) => {
    return [name, usual, [...others!.matchAll(/`([A-Z_]+)`/g)].map(([, action]) => action)];
  });
  const known = Object.entries(CHECK_CLASSES).map(([name, { default: usual, others }]) => [name, usual, [...others]]);
  expect(documented).toEqual(known);
});
