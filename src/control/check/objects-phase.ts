/**
 * The dkeys of all containers, target by target: each target compares those that it leads with what the others of their groups
 * have (src/dtx/dkey-check.ts). A step goes through some pages.
 */
import { byteString } from "../../base/bytes.ts";
import { MIB } from "../../base/limits.ts";
import { formatObjectId, objectIdFromBytes } from "../../base/object-id.ts";
import type { CheckClassName } from "../../format/check-classes.ts";
import type { DkeyDifference } from "../../format/check-questions.ts";
import { containerPrefix, mapKey, poolKey } from "../../format/meta-key.ts";
import type { ContainerRecord, MapRecord, PoolRecord } from "../../format/meta-record.ts";
import { takesPart } from "../pool-map-changes.ts";
import type { CheckReader } from "./check-reader.ts";
import type { Difference } from "./difference.ts";
import type { CheckScope, Look, Phase } from "./phase.ts";
import { nextPool } from "./pools-phase.ts";

/** A step ends after so many dkeys, bytes or pages, or dkeys that were tried again and again. */
const STEP_DKEYS = 64;
const STEP_BYTES = 16 * MIB;
const STEP_PAGES = 64;
const STEP_UNJUDGED = 8;
/** Bytes of a dkey that are shown. */
const SHOWN_DKEY_BYTES = 64;

const CLASSES: Readonly<Record<DkeyDifference["kind"], CheckClassName>> = {
  damaged: "CSUM_FAILURE",
  missing: "OBJ_LOST_REP",
  differs: "OBJ_DATA_INCONSIST",
  "shard-missing": "OBJ_LOST_EC_SHARD",
  "shard-differs": "OBJ_LOST_EC_DATA",
  misplaced: "OBJ_MISPLACED",
};

/** Where the next page begins: behind a dkey of a target (a place among those that take part) of a container. */
interface Cursor {
  readonly pool: string;
  /** The key of the container's record. */
  readonly container: string;
  readonly place: number;
  /** In hex; "": at the first dkey. */
  readonly after: string;
}

export class ObjectsPhase implements Phase {
  readonly name = "objects";
  readonly #reader: CheckReader;

  constructor(reader: CheckReader) {
    this.#reader = reader;
  }

  async look(position: string, scope: CheckScope): Promise<Look> {
    const counts = { looked: 0, bytes: 0, unjudged: 0 };
    const differences: Difference[] = [];
    let cursor = position === "" ? await this.#firstOf("", scope) : parse(position);
    for (let pages = 0; pages < STEP_PAGES && cursor !== undefined; pages += 1) {
      if (counts.looked >= STEP_DKEYS || counts.bytes >= STEP_BYTES || counts.unjudged >= STEP_UNJUDGED) break;
      cursor = await this.#page(cursor, scope, counts, differences);
    }
    return { differences, ...counts, next: cursor === undefined ? undefined : textOf(cursor) };
  }

  /** The first container of the first pool behind a pool's key that has one. */
  async #firstOf(after: string, scope: CheckScope): Promise<Cursor | undefined> {
    for (let behind = after; ;) {
      const pool = scope.pool !== undefined && after !== "" ? undefined : await nextPool(this.#reader, behind, scope);
      if (pool === undefined) return undefined;
      const first = await this.#containerBehind(pool.id, undefined);
      if (first !== undefined || scope.pool !== undefined) return first;
      behind = poolKey(pool.id);
    }
  }

  async #containerBehind(pool: string, key: string | undefined): Promise<Cursor | undefined> {
    const [stored] = await this.#reader.records.page("container", containerPrefix(pool), 1, key);
    return stored === undefined ? undefined : { pool, container: stored.key, place: 0, after: "" };
  }

  /** One page; where the next one begins. */
  async #page(
    cursor: Cursor,
    scope: CheckScope,
    counts: { looked: number; bytes: number; unjudged: number },
    differences: Difference[],
  ): Promise<Cursor | undefined> {
    const { records } = this.#reader;
    const pool = (await records.get("pool", poolKey(cursor.pool)))?.record;
    const map = (await records.get("map", mapKey(cursor.pool)))?.record;
    const container = (await records.get("container", cursor.container))?.record;
    const targets = map?.targets.filter(({ state }) => takesPart(state)) ?? [];
    const target = targets[cursor.place];
    if (pool?.state !== "ready" || map === undefined || container?.state !== "ready" || target === undefined) {
      return this.#nextContainer(cursor, scope);
    }
    const after = cursor.after === "" ? {} : { after: new Uint8Array(Buffer.from(cursor.after, "hex")) };
    const page = await this.#reader.ask(target, "dkeys", { container: container.number, ...after });
    if (page === undefined) {
      counts.unjudged += 1;
      return { ...cursor, place: cursor.place + 1, after: "" };
    }
    counts.looked += page.dkeys;
    counts.bytes += page.bytes;
    counts.unjudged += page.mapVersion === map.version ? page.unjudged : page.dkeys;
    if (page.mapVersion === map.version) {
      for (const found of page.differences) differences.push(describe(pool, map, container, found));
    }
    if (page.next === null) return { ...cursor, place: cursor.place + 1, after: "" };
    return { ...cursor, after: Buffer.from(page.next).toString("hex") };
  }

  async #nextContainer({ pool, container }: Cursor, scope: CheckScope): Promise<Cursor | undefined> {
    return (await this.#containerBehind(pool, container)) ?? this.#firstOf(poolKey(pool), scope);
  }
}

function textOf({ pool, container, place, after }: Cursor): string {
  return `${pool} ${container} ${place} ${after}`;
}

function parse(text: string): Cursor | undefined {
  const [pool = "", container = "", place = "0", after = ""] = text.split(" ");
  return { pool, container, place: Number(place), after };
}

function describe(pool: PoolRecord, map: MapRecord, container: ContainerRecord, found: DkeyDifference): Difference {
  const { kind, oid, dkey, target: index, detail, isElsewhere } = found;
  const target = map.targets.find((other) => other.index === index);
  const where = target === undefined ? "one of its targets" : `target ${index} (rank ${target.rank})`;
  const object = formatObjectId(objectIdFromBytes(oid));
  const place = `container ${pool.label}/${container.label}, object ${object}, dkey ${shown(dkey)}, ${where}`;
  return {
    class: CLASSES[kind],
    place,
    state: detail,
    ...(kind === "misplaced" &&
      !isElsewhere && {
        advice: "It may be the only one there is: exclude and reintegrate no target before it is looked at.",
      }),
    subject: {
      pool,
      number: container.number,
      oid,
      dkey,
      ...(target !== undefined && { rank: target.rank, target: target.target }),
    },
  };
}

/** As text where it is plain, else in hex. */
function shown(dkey: Uint8Array): string {
  const part = dkey.subarray(0, SHOWN_DKEY_BYTES);
  const end = part.length < dkey.length ? "..." : "";
  const isPlain = part.every((byte) => byte >= 0x20 && byte < 0x7f);
  return isPlain ? `"${byteString(part)}"${end}` : `0x${Buffer.from(part).toString("hex")}${end}`;
}
