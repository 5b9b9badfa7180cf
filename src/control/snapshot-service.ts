/**
 * Snapshots of containers: create, list, destroy. A snapshot is an epoch that the targets keep, with a name in the meta
 * store. The intent is committed before the targets act; what a crash or a failure left half done is settled before the
 * next snapshot of that container, and by `resume`: epochs that no record names are given up, marked ones are removed.
 */
import { DaosError, hasCode } from "../base/errors.ts";
import { type Epoch, epochFrom } from "../base/epoch.ts";
import { checkLabel } from "../base/label.ts";
import { MAX_SNAPSHOTS } from "../base/limits.ts";
import { didYouMean } from "../base/suggestion.ts";
import { containerKey, snapshotKey, snapshotPrefix, unnamedSnapshotKey } from "../format/meta-key.ts";
import type { ContainerRecord, SnapshotRecord } from "../format/meta-record.ts";
import type {
  ContainerReference,
  SnapshotCreateArguments,
  SnapshotDescription,
  SnapshotDestroyArguments,
  SnapshotListReply,
} from "../format/operations.ts";
import type { Catalogue } from "./catalogue.ts";
import { beingDestroyed, type ControlParts, destroyedSince, isoTime, newUuid } from "./control-parts.ts";
import { absent, type Change, putRecord, type Stored, unchanged } from "./meta-records.ts";
import { type Mark, unmarked } from "./request-outcomes.ts";
import { servedContainer } from "./served-container.ts";

export class SnapshotService {
  readonly #parts: ControlParts;
  readonly #catalogue: Catalogue;

  constructor(parts: ControlParts, catalogue: Catalogue) {
    this.#parts = parts;
    this.#catalogue = catalogue;
  }

  /** Rejects with ALREADY_EXISTS (name), INVALID_ARGUMENT, TOO_LARGE (MAX_SNAPSHOTS), BUSY (being destroyed). */
  create(args: SnapshotCreateArguments, mark = unmarked): Promise<SnapshotDescription> {
    if (args.name !== "") checkName(args.name);
    return this.#locked(args, "take a snapshot of", async (container) => {
      await this.settle(container);
      const key = args.name === "" ? unnamedSnapshotKey(container.id, newUuid(this.#parts.random)) : undefined;
      const intent = await this.#begin(container, key ?? snapshotKey(container.id, args.name), args.name);
      try {
        const epoch = await this.#take(container);
        return describe(await this.#complete(container, intent, epoch, mark));
      } catch (error) {
        await this.#settleQuietly(container);
        throw error;
      }
    });
  }

  /** An engine that has just joined may not have been told of the container yet. */
  async #take(container: ContainerRecord): Promise<Epoch> {
    const { targets } = this.#parts;
    const { number, pool } = container;
    try {
      return await targets.createSnapshot(number, pool);
    } catch (error) {
      if (!hasCode(error, "NOT_FOUND")) throw error;
    }
    await targets.openContainer(servedContainer(container), pool);
    return targets.createSnapshot(number, pool);
  }

  /** Oldest first. */
  async list(args: ContainerReference): Promise<SnapshotListReply> {
    const container = await this.#catalogue.container(await this.#catalogue.pool(args.pool), args.container);
    const stored = await this.#parts.records.all("snapshot", snapshotPrefix(container.record.id));
    const ready = stored.map(({ record }) => record).filter(({ state }) => state === "ready");
    return { snapshots: ready.sort((left, right) => left.epoch - right.epoch).map(describe) };
  }

  /** The epoch's versions may be dropped from then on. Rejects with NOT_FOUND. */
  destroy(args: SnapshotDestroyArguments, mark = unmarked): Promise<void> {
    return this.#locked(args, "destroy a snapshot of", async (container) => {
      const { records } = this.#parts;
      await records.change(`destroy snapshot "${args.name}"`, async () => {
        const snapshot = await records.get("snapshot", snapshotKey(container.id, args.name));
        if (snapshot === undefined || snapshot.record.state === "creating")
          throw await this.#notFound(container, args.name);
        const marked: SnapshotRecord = { ...snapshot.record, state: "destroying" };
        const operations = [putRecord("snapshot", snapshot.key, marked)];
        const key = containerKey(container.pool, container.id);
        return mark({ compares: [unchanged(snapshot)], operations, result: undefined }, key);
      });
      await this.settle(container);
    });
  }

  /** Of one whose destruction was begun: finishes it, if its container still is there. `key`: the container's. */
  async destroyAgain(key: string): Promise<void> {
    const stored = await this.#parts.records.get("container", key);
    if (stored === undefined) return;
    await this.#parts.locks.run(`container/${stored.record.id}`, async () => {
      const container = await this.#parts.records.get("container", key);
      if (container?.record.state === "ready") await this.settle(container.record);
    });
  }

  /** The one that was taken. Rejects with NOT_FOUND when it has been destroyed since. */
  async queryAgain(key: string): Promise<SnapshotDescription> {
    const stored = await this.#parts.records.get("snapshot", key);
    if (stored?.record.state !== "ready") throw destroyedSince("snapshot", key);
    return describe(stored.record);
  }

  /** Ends what was begun and not finished. The caller holds the container's lock, or is `resume`. */
  async settle({ id, number, pool }: ContainerRecord): Promise<void> {
    const { records, targets } = this.#parts;
    const found = await records.all("snapshot", snapshotPrefix(id));
    if (found.every(({ record }) => record.state === "ready")) return;
    for (const { key, record } of found) if (record.state === "creating") await this.#giveUp(key);
    const snapshots = await records.all("snapshot", snapshotPrefix(id));
    const open = snapshots.filter(({ record }) => record.state !== "ready");
    if (open.some(({ record }) => record.epoch === 0)) {
      const named = new Set(snapshots.map(({ record }) => record.epoch));
      for (const epoch of await targets.listSnapshots(number, pool)) {
        if (!named.has(epoch)) await targets.destroySnapshot(number, pool, epoch);
      }
    }
    for (const { record } of open) {
      if (record.epoch > 0) await targets.destroySnapshot(number, pool, epochFrom(record.epoch));
    }
    for (const { key } of open) {
      await records.change("destroy a snapshot", async () => {
        const snapshot = await records.get("snapshot", key);
        const container = await records.get("container", containerKey(pool, id));
        if (snapshot === undefined || container === undefined)
          return { compares: [], operations: [], result: undefined };
        return {
          compares: [unchanged(snapshot), unchanged(container)],
          operations: [{ remove: key }, putContainer(container, -1)],
          result: undefined,
        };
      });
    }
  }

  /** One that was begun; it stays when it was completed after all, by a commit whose outcome was not known. */
  #giveUp(key: string): Promise<void> {
    const { records } = this.#parts;
    return records.change("give a snapshot up", async (): Promise<Change<void>> => {
      const stored = await records.get("snapshot", key);
      if (stored?.record.state !== "creating") return { compares: [], operations: [], result: undefined };
      const marked: SnapshotRecord = { ...stored.record, state: "destroying" };
      return { compares: [unchanged(stored)], operations: [putRecord("snapshot", key, marked)], result: undefined };
    });
  }

  /** Runs `work` on a ready container, alone with it. */
  async #locked<Result>(
    args: ContainerReference,
    action: string,
    work: (container: ContainerRecord) => Promise<Result>,
  ): Promise<Result> {
    const pool = await this.#catalogue.pool(args.pool);
    if (pool.record.state !== "ready") throw beingDestroyed(action, "pool", pool.record.label);
    const { id } = (await this.#catalogue.container(pool, args.container)).record;
    return this.#parts.locks.run(`container/${id}`, async () => {
      const { record } = await this.#catalogue.container(pool, id);
      if (record.state !== "ready") throw beingDestroyed(action, "container", record.label);
      return work(record);
    });
  }

  /** The intent, counted in its container. */
  #begin(container: ContainerRecord, key: string, name: string): Promise<{ key: string; record: SnapshotRecord }> {
    const { records, clock } = this.#parts;
    const record: SnapshotRecord = { name, state: "creating", epoch: 0, createdAtMs: clock.wallMs() };
    return records.change(`take a snapshot of container "${container.label}"`, async () => {
      if ((await records.get("snapshot", key)) !== undefined) {
        const state = `container "${container.label}" has one of that name. Choose another name`;
        throw new DaosError("ALREADY_EXISTS", `Cannot create snapshot "${name}": ${state}.`);
      }
      const stored = await this.#stored(container);
      if (stored.record.snapshots >= MAX_SNAPSHOTS) {
        const state = `it has ${MAX_SNAPSHOTS} snapshots, the most there may be. Destroy one first`;
        throw new DaosError("TOO_LARGE", `Cannot take a snapshot of container "${container.label}": ${state}.`);
      }
      return {
        compares: [absent(key), unchanged(stored)],
        operations: [putRecord("snapshot", key, record), putContainer(stored, +1)],
        result: { key, record },
      };
    });
  }

  /** The outcome: the epoch is known, and with it the name of one that was given none. */
  #complete(
    container: ContainerRecord,
    intent: { readonly key: string; readonly record: SnapshotRecord },
    epoch: Epoch,
    mark: Mark,
  ): Promise<SnapshotRecord> {
    const { records } = this.#parts;
    const name = intent.record.name === "" ? String(epoch) : intent.record.name;
    const record: SnapshotRecord = { ...intent.record, name, epoch, state: "ready" };
    const key = snapshotKey(container.id, name);
    return records.change(
      `take a snapshot of container "${container.label}"`,
      async (): Promise<Change<SnapshotRecord>> => {
        const stored = await records.get("snapshot", intent.key);
        if (stored === undefined) throw beingDestroyed("take a snapshot of", "container", container.label);
        const put = putRecord("snapshot", key, record);
        if (key === intent.key) return mark({ compares: [unchanged(stored)], operations: [put], result: record }, key);
        const operations = [{ remove: intent.key }, put];
        return mark({ compares: [unchanged(stored), absent(key)], operations, result: record }, key);
      },
    );
  }

  /** A failure to settle leaves the intent, which the next snapshot of the container or `resume` settles. */
  async #settleQuietly(container: ContainerRecord): Promise<void> {
    try {
      await this.settle(container);
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
    }
  }

  async #stored({ pool, id, label }: ContainerRecord): Promise<Stored<"container">> {
    const stored = await this.#parts.records.get("container", containerKey(pool, id));
    if (stored?.record.state !== "ready") throw beingDestroyed("take a snapshot of", "container", label);
    return stored;
  }

  async #notFound({ id, label }: ContainerRecord, name: string): Promise<DaosError> {
    const snapshots = await this.#parts.records.all("snapshot", snapshotPrefix(id));
    const names = snapshots.filter(({ record }) => record.state === "ready").map(({ record }) => record.name);
    const state = `container "${label}" has none of that name.${didYouMean(name, names)}`;
    return new DaosError(
      "NOT_FOUND",
      `Cannot find snapshot "${name}": ${state} \`daos container snapshot list\` shows them.`,
    );
  }
}

/** A label, and not a number: those are the names of unnamed snapshots and stand for epochs. */
function checkName(name: string): void {
  checkLabel("snapshot", name);
  if (!/^\d+$/.test(name)) return;
  throw new DaosError(
    "INVALID_ARGUMENT",
    `Cannot use snapshot label "${name}": a number stands for an epoch. Put a letter into it.`,
  );
}

function putContainer(stored: Stored<"container">, added: number): ReturnType<typeof putRecord> {
  return putRecord("container", stored.key, { ...stored.record, snapshots: stored.record.snapshots + added });
}

function describe({ name, epoch, createdAtMs }: SnapshotRecord): SnapshotDescription {
  return { name, epoch: epochFrom(epoch), createdAt: isoTime(createdAtMs) };
}
