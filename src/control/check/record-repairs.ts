/** Repairs of records in the meta store. Each is one change, which reads again what it goes by. */
import { DaosError } from "../../base/errors.ts";
import type { Epoch } from "../../base/epoch.ts";
import type { HeldPool } from "../../format/check-questions.ts";
import {
  CONTAINER_COUNTER_KEY,
  containerKey,
  containerLabelKey,
  containerPrefix,
  mapKey,
  POOL_COUNTER_KEY,
  poolKey,
  poolLabelKey,
  snapshotKey,
  snapshotPrefix,
} from "../../format/meta-key.ts";
import type { ContainerRecord, MapRecord, PoolRecord } from "../../format/meta-record.ts";
import type { MetaOperation } from "../../contracts/meta-store.ts";
import type { ControlParts } from "../control-parts.ts";
import { absent, type Change, putRecord, unchanged } from "../meta-records.ts";
import { recordOfNote } from "../notes.ts";
import type { Difference } from "./difference.ts";

const NOTHING: Change<void> = { compares: [], operations: [], result: undefined };
/** Of an id, in a label that had to be another one. */
const ID_CHARACTERS = 8;
const MAX_LABEL = 127;

export class RecordRepairs {
  readonly #parts: ControlParts;

  constructor(parts: ControlParts) {
    this.#parts = parts;
  }

  /** The pool of a container's note. */
  static poolOf(note: Uint8Array | null): string | undefined {
    return recordOfNote("container", note)?.pool;
  }

  /** A label that stands for nothing goes; a pool whose label is another one's gets one of its own. */
  poolLabel({ key, pool }: Difference["subject"]): Promise<void> {
    const { records } = this.#parts;
    return records.change("repair the label of a pool", async () => {
      if (key !== undefined) {
        const label = await records.get("label", key);
        const owner = label === undefined ? undefined : await records.get("pool", poolKey(label.record.id));
        if (label === undefined || (owner !== undefined && poolLabelKey(owner.record.label) === key)) return NOTHING;
        return { compares: [unchanged(label)], operations: [{ remove: key }], result: undefined };
      }
      const stored = await records.get("pool", poolKey(pool!.id));
      if (stored === undefined) return NOTHING;
      const label = await this.#freeLabel(stored.record, poolLabelKey);
      return {
        compares: [unchanged(stored), absent(poolLabelKey(label))],
        operations: [
          putRecord("pool", stored.key, { ...stored.record, label }),
          putRecord("label", poolLabelKey(label), { id: stored.record.id }),
        ],
        result: undefined,
      };
    });
  }

  containerLabel({ key, container }: Difference["subject"]): Promise<void> {
    const { records } = this.#parts;
    return records.change("repair the label of a container", async () => {
      if (key !== undefined) {
        const label = await records.get("label", key);
        const [, pool = ""] = key.split("/");
        const owner =
          label === undefined ? undefined : await records.get("container", containerKey(pool, label.record.id));
        const isRight = owner !== undefined && containerLabelKey(pool, owner.record.label) === key;
        if (label === undefined || isRight) return NOTHING;
        return { compares: [unchanged(label)], operations: [{ remove: key }], result: undefined };
      }
      const stored = await records.get("container", containerKey(container!.pool, container!.id));
      if (stored === undefined) return NOTHING;
      const labelKey = (label: string): string => containerLabelKey(stored.record.pool, label);
      const label = await this.#freeLabel(stored.record, labelKey);
      return {
        compares: [unchanged(stored), absent(labelKey(label))],
        operations: [
          putRecord("container", stored.key, { ...stored.record, label }),
          putRecord("label", labelKey(label), { id: stored.record.id }),
        ],
        result: undefined,
      };
    });
  }

  /** The record's label, or one made of it and its id. */
  async #freeLabel({ id, label }: PoolRecord | ContainerRecord, keyOf: (label: string) => string): Promise<string> {
    if ((await this.#parts.records.get("label", keyOf(label))) === undefined) return label;
    return `${label.slice(0, MAX_LABEL - ID_CHARACTERS - 1)}-${id.slice(0, ID_CHARACTERS)}`;
  }

  poolCount(id: string): Promise<void> {
    const { records } = this.#parts;
    return records.change("count the containers of a pool", async () => {
      const stored = await records.get("pool", poolKey(id));
      const containers = (await records.all("container", containerPrefix(id))).length;
      if (stored === undefined || stored.record.containers === containers) return NOTHING;
      const operations = [putRecord("pool", stored.key, { ...stored.record, containers })];
      return { compares: [unchanged(stored)], operations, result: undefined };
    });
  }

  snapshotCount({ pool, id }: ContainerRecord): Promise<void> {
    const { records } = this.#parts;
    return records.change("count the snapshots of a container", async () => {
      const stored = await records.get("container", containerKey(pool, id));
      const snapshots = (await records.all("snapshot", snapshotPrefix(id))).length;
      if (stored === undefined || stored.record.snapshots === snapshots) return NOTHING;
      const operations = [putRecord("container", stored.key, { ...stored.record, snapshots })];
      return { compares: [unchanged(stored)], operations, result: undefined };
    });
  }

  lastNumber(number: number): Promise<void> {
    const { records } = this.#parts;
    return records.change("note which numbers containers have", async () => {
      const { compares, operations } = await this.#numberUsed(number);
      return { compares, operations, result: undefined };
    });
  }

  /** What makes the counter count a number as given out. */
  async #numberUsed(number: number): Promise<Omit<Change<void>, "result">> {
    const counter = await this.#parts.records.get("counter", CONTAINER_COUNTER_KEY);
    if ((counter?.record.value ?? 0) >= number) return { compares: [], operations: [] };
    return {
      compares: [{ key: CONTAINER_COUNTER_KEY, revision: counter?.revision ?? 0 }],
      operations: [putRecord("counter", CONTAINER_COUNTER_KEY, { value: number })],
    };
  }

  /** The map that a target had a note of, when it is newer. Rejects with NOT_FOUND when there is none. */
  newerMap(pool: string, note: Uint8Array | null): Promise<void> {
    const { records } = this.#parts;
    const map = recordOfNote("map", note);
    return records.change("take over the map of a pool", async () => {
      const stored = await records.get("map", mapKey(pool));
      if (stored === undefined || (map !== undefined && map.version <= stored.record.version)) return NOTHING;
      if (map === undefined || map.version <= stored.record.version) throw noNote(pool, "map");
      return { compares: [unchanged(stored)], operations: [putRecord("map", stored.key, map)], result: undefined };
    });
  }

  /** Makes a pool's records from the notes of its targets. */
  readdPool(held: readonly HeldPool[]): Promise<void> {
    const { records } = this.#parts;
    const pool = held.map(({ note }) => recordOfNote("pool", note)).find((record) => record !== undefined);
    const maps = held.flatMap((one) => recordOfNote("map", one.map) ?? []);
    const map = maps.reduce<MapRecord | undefined>(
      (newest, other) => (newest === undefined || other.version > newest.version ? other : newest),
      undefined,
    );
    if (pool === undefined || map === undefined) throw noNote(held[0]?.pool ?? "", "pool");
    return records.change("take up a pool", async () => {
      if ((await records.get("pool", poolKey(pool.id))) !== undefined) return NOTHING;
      const label = await this.#freeLabel(pool, poolLabelKey);
      const containers = (await records.all("container", containerPrefix(pool.id))).length;
      const counter = await records.get("counter", POOL_COUNTER_KEY);
      return {
        compares: [absent(poolKey(pool.id)), absent(poolLabelKey(label)), absent(mapKey(pool.id))],
        operations: [
          putRecord("pool", poolKey(pool.id), { ...pool, label, containers }),
          putRecord("label", poolLabelKey(label), { id: pool.id }),
          putRecord("map", mapKey(pool.id), map),
          putRecord("counter", POOL_COUNTER_KEY, { value: (counter?.record.value ?? 0) + 1 }),
        ],
        result: undefined,
      };
    });
  }

  /** Makes a container's records from the note of a target. Its snapshots are found next. */
  readdContainer(container: ContainerRecord, number: number): Promise<void> {
    const { records } = this.#parts;
    return records.change("take up a container", async () => {
      const pool = await records.get("pool", poolKey(container.pool));
      const key = containerKey(container.pool, container.id);
      if (pool === undefined) throw noNote(container.pool, "pool");
      if (container.number !== number) throw noNote(container.id, "container");
      if ((await records.get("container", key)) !== undefined) return NOTHING;
      const labelKey = (label: string): string => containerLabelKey(container.pool, label);
      const label = await this.#freeLabel(container, labelKey);
      const counted = await this.#numberUsed(number);
      const snapshots = (await records.all("snapshot", snapshotPrefix(container.id))).length;
      return {
        compares: [unchanged(pool), absent(key), absent(labelKey(label)), ...counted.compares],
        operations: [
          putRecord("pool", pool.key, { ...pool.record, containers: pool.record.containers + 1 }),
          putRecord("container", key, { ...container, label, snapshots }),
          putRecord("label", labelKey(label), { id: container.id }),
          ...counted.operations,
        ],
        result: undefined,
      };
    });
  }

  /** What cannot change while a container lives, as a target has it noted. */
  fixedProperties({ pool, id }: ContainerRecord, note: Uint8Array | null): Promise<void> {
    const { records } = this.#parts;
    const noted = recordOfNote("container", note);
    if (noted?.id !== id || noted.pool !== pool) throw noNote(id, "container");
    return records.change("take over the properties of a container", async () => {
      const stored = await records.get("container", containerKey(pool, id));
      if (stored === undefined) return NOTHING;
      const properties = { ...stored.record.properties, ...noted.properties };
      const record = { ...stored.record, type: noted.type, properties };
      return {
        compares: [unchanged(stored)],
        operations: [putRecord("container", stored.key, record)],
        result: undefined,
      };
    });
  }

  /** A snapshot that all targets keep gets a record; its name is its epoch. */
  snapshot({ pool, id }: ContainerRecord, epoch: Epoch): Promise<void> {
    const { records, clock } = this.#parts;
    const key = snapshotKey(id, String(epoch));
    return this.#changeSnapshots(pool, id, +1, async () => {
      if ((await records.get("snapshot", key)) !== undefined) return undefined;
      const createdAtMs = clock.wallMs();
      return putRecord("snapshot", key, { name: String(epoch), state: "ready", epoch, createdAtMs });
    });
  }

  forgetSnapshot({ pool, id }: ContainerRecord, key: string): Promise<void> {
    const { records } = this.#parts;
    return this.#changeSnapshots(pool, id, -1, async () =>
      (await records.get("snapshot", key)) === undefined ? undefined : { remove: key },
    );
  }

  #changeSnapshots(
    pool: string,
    id: string,
    added: number,
    decide: () => Promise<MetaOperation | undefined>,
  ): Promise<void> {
    const { records } = this.#parts;
    return records.change("change the records of a container's snapshots", async () => {
      const stored = await records.get("container", containerKey(pool, id));
      const operation = await decide();
      if (stored === undefined || operation === undefined) return NOTHING;
      const record = { ...stored.record, snapshots: stored.record.snapshots + added };
      return {
        compares: [unchanged(stored)],
        operations: [operation, putRecord("container", stored.key, record)],
        result: undefined,
      };
    });
  }
}

function noNote(what: string, noun: string): DaosError {
  return new DaosError("NOT_FOUND", `Cannot make the record of ${noun} ${what} again: no target has a copy of it.`);
}
