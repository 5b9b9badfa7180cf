/** What is done about each class of findings. Every action may be repeated, and reads again what it goes by. */
import { DaosError } from "../../base/errors.ts";
import type { Timers } from "../../contracts/world.ts";
import type { CheckAction, CheckClassName } from "../../format/check-classes.ts";
import { removalKey } from "../../format/meta-key.ts";
import type { ContainerRemoval } from "../container-removal.ts";
import type { ControlParts } from "../control-parts.ts";
import { goneQuota } from "../engine-set.ts";
import { notesOf } from "../notes.ts";
import type { PoolMapService } from "../pool-map-service.ts";
import type { PoolQuotas } from "../pool-quotas.ts";
import type { PoolService } from "../pool-service.ts";
import { servedContainer } from "../served-container.ts";
import type { SnapshotService } from "../snapshot-service.ts";
import type { CheckReader } from "./check-reader.ts";
import type { Difference } from "./difference.ts";
import { RecordRepairs } from "./record-repairs.ts";

/** Time that those have who are asked about an undecided update, milliseconds. */
const SETTLE_MS = 2_000;

export interface RepairParts extends ControlParts {
  readonly timers: Timers;
  readonly reader: CheckReader;
  readonly maps: PoolMapService;
  readonly quotas: PoolQuotas;
  readonly removal: ContainerRemoval;
  readonly pools: PoolService;
  readonly snapshots: SnapshotService;
}

type Repair = (difference: Difference) => Promise<void>;

export class Repairs {
  readonly #parts: RepairParts;
  readonly #byClass: { readonly [Name in CheckClassName]?: Partial<Record<CheckAction, Repair>> };

  constructor(parts: RepairParts) {
    this.#parts = parts;
    const records = new RecordRepairs(parts);
    const finishContainer: Repair = ({ subject }) => this.#finishContainer(subject);
    const keepNotes: Repair = ({ subject }) => this.#keepNotes(subject.pool!.id);
    this.#byClass = {
      ENGINE_DUPLICATE: { DISCARD: ({ subject }) => this.#forgetMember(subject.rank!) },
      ENGINE_NONEXIST_IN_MAP: { DISCARD: ({ subject }) => this.#destroyOn(subject.rank!, subject.number!) },
      POOL_NONEXIST_ON_ENGINE: { READD: ({ subject }) => this.#give(subject) },
      POOL_NONEXIST_ON_MS: {
        READD: ({ subject }) => this.#readdPool(subject, records),
        DISCARD: ({ subject }) => this.#discardPool(subject),
      },
      POOL_BAD_MAP: { TRUST_MS: ({ subject }) => this.#give(subject) },
      POOL_OLD_MAP: { TRUST_TARGET: ({ subject }) => this.#newestMap(subject, records) },
      POOL_BAD_LABEL: { TRUST_MS: ({ subject }) => records.poolLabel(subject) },
      POOL_BAD_COUNT: { TRUST_MS: ({ subject }) => records.poolCount(subject.pool!.id) },
      POOL_BAD_QUOTA: { TRUST_MS: ({ subject }) => parts.quotas.refresh(subject.pool!.id) },
      POOL_BAD_NOTE: { TRUST_MS: keepNotes },
      POOL_HALF_REMOVED: { FINISH: ({ subject }) => this.#finishPool(subject) },
      CONT_NONEXIST_ON_TARGET: { READD: ({ subject }) => this.#openContainer(subject) },
      CONT_NONEXIST_ON_PS: {
        READD: ({ subject }) => this.#readdContainer(subject, records),
        DISCARD: ({ subject }) => this.#discardContainer(subject),
      },
      CONT_BAD_LABEL: { TRUST_MS: ({ subject }) => records.containerLabel(subject) },
      CONT_BAD_COUNT: { TRUST_MS: ({ subject }) => records.snapshotCount(subject.container!) },
      CONT_BAD_NUMBER: { TRUST_MS: ({ subject }) => records.lastNumber(subject.container!.number) },
      CONT_BAD_NOTE: { TRUST_MS: keepNotes },
      CONT_BAD_PROPERTY: {
        TRUST_MS: ({ subject }) => this.#trustRecord(subject),
        TRUST_TARGET: ({ subject }) => this.#trustTarget(subject, records),
      },
      CONT_HALF_REMOVED: { FINISH: finishContainer },
      CONT_WITHOUT_POOL: { DISCARD: ({ subject }) => this.#discardContainer(subject) },
      SNAP_NONEXIST_ON_PS: {
        READD: ({ subject }) => records.snapshot(subject.container!, subject.epoch!),
        DISCARD: ({ subject }) => this.#destroySnapshot(subject),
      },
      SNAP_NONEXIST_ON_TARGET: {
        READD: ({ subject }) => this.#adoptSnapshot(subject),
        DISCARD: ({ subject }) => this.#destroySnapshot(subject, records),
      },
      SNAP_LOST: { DISCARD: ({ subject }) => this.#destroySnapshot(subject, records) },
      SNAP_HALF_MADE: { FINISH: ({ subject }) => this.#settleSnapshots(subject) },
      OBJ_MISPLACED: { DISCARD: ({ subject }) => this.#dropDkey(subject) },
      DTX_ORPHAN: { DISCARD: ({ subject }) => this.#settleUpdates(subject, true) },
      DTX_UNDECIDED: { FINISH: ({ subject }) => this.#settleUpdates(subject, false) },
      DTX_REMEMBERED: {
        FINISH: async ({ subject }) => void (await this.#ask(subject, "forgetDecisions", { ids: subject.ids! })),
      },
    };
  }

  /** Undefined: nothing is to be done. Rejects with what keeps it from being done. */
  of(name: CheckClassName, action: CheckAction): Repair | undefined {
    return this.#byClass[name]?.[action];
  }

  /** Rejects with UNAVAILABLE when the engine is away. */
  async #ask<Name extends Parameters<CheckReader["ask"]>[1]>(
    { rank, target }: Difference["subject"],
    name: Name,
    value: Parameters<CheckReader["ask"]>[2],
  ): Promise<unknown> {
    const answer = await this.#parts.reader.ask({ rank: rank!, target: target! }, name, value as never);
    if (answer === undefined) throw away(rank!);
    return answer;
  }

  async #give({ pool, rank }: Difference["subject"]): Promise<void> {
    if (!(await this.#parts.maps.give(pool!.id, rank!))) throw away(rank!);
    await this.#parts.quotas.refresh(pool!.id);
  }

  async #keepNotes(pool: string): Promise<void> {
    const { records, targets } = this.#parts;
    for await (const notes of notesOf(records, pool)) await targets.keepNotes(pool, notes);
  }

  async #newestMap({ pool, rank, target }: Difference["subject"], records: RecordRepairs): Promise<void> {
    const { id } = pool!;
    const answer = await this.#parts.reader.ask({ rank: rank!, target: target! }, "pool", { pool: id });
    await records.newerMap(id, answer?.held?.map ?? null);
    await this.#parts.maps.publish(id);
    await this.#parts.quotas.refresh(id);
    await this.#keepNotes(id);
  }

  /** With its newest map; its containers are found next. */
  async #readdPool({ poolId, targets = [] }: Difference["subject"], records: RecordRepairs): Promise<void> {
    const answers = await this.#parts.reader.askAll(targets, "pool", { pool: poolId! });
    await records.readdPool(answers.flatMap(({ answer }) => answer.held ?? []));
    await this.#parts.maps.publish(poolId!);
    await this.#keepNotes(poolId!);
  }

  async #discardPool({ poolId, targets = [] }: Difference["subject"]): Promise<void> {
    const id = poolId!;
    for (const target of targets) {
      for (let after: number | null = 0; after !== null;) {
        const page:
          | {
              containers: readonly { number: number; pool: string | null; note: Uint8Array | null }[];
              next: number | null;
            }
          | undefined = await this.#parts.reader.ask(target, "holdings", { after });
        if (page === undefined) throw away(target.rank);
        const known = await this.#parts.reader.poolsOf(page.containers.map(({ number }) => number));
        for (const { number, pool, note } of page.containers) {
          if (known.has(number) || (pool ?? RecordRepairs.poolOf(note)) !== id) continue;
          await this.#destroyOn(target.rank, number);
        }
        after = page.next;
      }
    }
    for (const rank of new Set(targets.map((target) => target.rank))) await this.#forgetPoolOn(rank, id);
  }

  async #forgetPoolOn(rank: number, pool: string): Promise<void> {
    const link = this.#parts.members.link(rank);
    if (link === undefined) throw away(rank);
    await link.call("setQuota", goneQuota(pool));
    await this.#forgetRemoval(removalKey(rank, pool));
  }

  async #destroyOn(rank: number, container: number): Promise<void> {
    const link = this.#parts.members.link(rank);
    if (link === undefined) throw away(rank);
    await link.call("destroyContainer", { container });
    await this.#forgetRemoval(removalKey(rank, container));
  }

  async #forgetRemoval(key: string): Promise<void> {
    const { records } = this.#parts;
    await records.change("note what an engine has removed", async () => {
      const owed = await records.get("removal", key);
      return { compares: [], operations: owed === undefined ? [] : [{ remove: key }], result: undefined };
    });
  }

  async #finishPool({ pool, poolId, targets = [] }: Difference["subject"]): Promise<void> {
    if (poolId === undefined) {
      await this.#parts.locks.run(`pool/${pool!.id}`, () => this.#parts.pools.finishDestroy(pool!.id));
      return;
    }
    for (const rank of new Set(targets.map((target) => target.rank))) await this.#forgetPoolOn(rank, poolId);
  }

  async #finishContainer({ container, number, targets = [] }: Difference["subject"]): Promise<void> {
    if (number === undefined) {
      await this.#parts.locks.run(`container/${container!.id}`, () => this.#parts.removal.settle(container!));
      return;
    }
    for (const rank of new Set(targets.map((target) => target.rank))) await this.#destroyOn(rank, number);
  }

  async #discardContainer({ container, number, key, targets }: Difference["subject"]): Promise<void> {
    const { reader, records } = this.#parts;
    const discarded = number ?? container!.number;
    const holding = targets ?? reader.targets();
    for (const rank of new Set(holding.map((target) => target.rank))) await this.#destroyOn(rank, discarded);
    if (key === undefined) return;
    await records.change("discard a container", async () => {
      const stored = await records.get("container", key);
      return { compares: [], operations: stored === undefined ? [] : [{ remove: key }], result: undefined };
    });
  }

  #openContainer({ container }: Difference["subject"]): Promise<void> {
    const { locks, targets } = this.#parts;
    const { id, pool } = container!;
    return locks.run(`container/${id}`, () => targets.openContainer(servedContainer(container!), pool));
  }

  async #readdContainer({ container, number }: Difference["subject"], records: RecordRepairs): Promise<void> {
    const { targets, quotas, locks } = this.#parts;
    await records.readdContainer(container!, number!);
    await locks.run(`container/${container!.id}`, () =>
      targets.openContainer(servedContainer(container!), container!.pool),
    );
    await quotas.refresh(container!.pool);
    await this.#keepNotes(container!.pool);
  }

  /** All of its targets are told what the record says. */
  async #trustRecord({ container }: Difference["subject"]): Promise<void> {
    const { maps } = this.#parts;
    await maps.publish(container!.pool);
    await this.#keepNotes(container!.pool);
  }

  async #trustTarget({ container, rank, target }: Difference["subject"], records: RecordRepairs): Promise<void> {
    const { number, pool } = container!;
    const answer = await this.#parts.reader.ask({ rank: rank!, target: target! }, "containers", {
      containers: [number],
    });
    await records.fixedProperties(container!, answer?.containers[0]?.note ?? null);
    await this.#parts.maps.publish(pool);
    await this.#keepNotes(pool);
  }

  async #adoptSnapshot({ container, epoch, targets = [] }: Difference["subject"]): Promise<void> {
    const value = { container: container!.number, epochs: [epoch!] };
    for (const target of targets) await this.#ask(target, "adoptSnapshots", value);
  }

  #destroySnapshot({ container, epoch, key }: Difference["subject"], records?: RecordRepairs): Promise<void> {
    const { locks, targets } = this.#parts;
    const { id, number, pool } = container!;
    return locks.run(`container/${id}`, async () => {
      await targets.destroySnapshot(number, pool, epoch!);
      if (key !== undefined) await records?.forgetSnapshot(container!, key);
    });
  }

  #settleSnapshots({ container }: Difference["subject"]): Promise<void> {
    const { locks, snapshots } = this.#parts;
    return locks.run(`container/${container!.id}`, () => snapshots.settle(container!));
  }

  async #settleUpdates(subject: Difference["subject"], areOrphans: boolean): Promise<void> {
    const ids = subject.ids!;
    await this.#ask(subject, "settle", { orphans: areOrphans ? ids : [] });
    if (areOrphans) return;
    await new Promise<void>((resolve) => void this.#parts.timers.after(SETTLE_MS, resolve));
    const { areUndecided } = (await this.#ask(subject, "areUndecided", { ids })) as { areUndecided: boolean[] };
    if (!areUndecided.includes(true)) return;
    const state = "who leads its group has not decided it";
    throw new DaosError("UNAVAILABLE", `Cannot settle the update: ${state}. Bring the engines of its pool back.`);
  }

  async #dropDkey({ number, oid, dkey, ...target }: Difference["subject"]): Promise<void> {
    await this.#ask(target, "dropDkey", { container: number!, oid: oid!, dkey: dkey! });
  }

  async #forgetMember(rank: number): Promise<void> {
    const { members, maps } = this.#parts;
    const pools = await maps.poolsOf([rank]);
    if (pools.length > 0) {
      throw new DaosError("BUSY", `Cannot forget rank ${rank}: ${pools.length} pool(s) name it. Exclude it from them.`);
    }
    await members.forget(rank);
  }
}

function away(rank: number): DaosError {
  return new DaosError("UNAVAILABLE", `Cannot repair: rank ${rank} does not answer. Bring it back and check again.`);
}
