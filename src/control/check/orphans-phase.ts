/**
 * What targets hold and the meta store does not know: pools, then containers in the order of their numbers. Targets are asked
 * before the records: who makes something writes its record first.
 */
import { mapKey, poolKey, removalKey } from "../../format/meta-key.ts";
import type { MapRecord } from "../../format/meta-record.ts";
import type { HeldContainer } from "../../format/check-questions.ts";
import { recordOfNote } from "../notes.ts";
import type { CheckReader } from "./check-reader.ts";
import { type Answered, type Difference, targetName } from "./difference.ts";
import type { CheckScope, Look, Phase } from "./phase.ts";

/** Position: "" for pools, then the number behind which containers are looked at. */
export class OrphansPhase implements Phase {
  readonly name = "orphans";
  readonly #reader: CheckReader;

  constructor(reader: CheckReader) {
    this.#reader = reader;
  }

  look(position: string, scope: CheckScope): Promise<Look> {
    return position === "" ? this.#pools(scope) : this.#containers(Number(position), scope);
  }

  async #pools(scope: CheckScope): Promise<Look> {
    const { records } = this.#reader;
    const answers = await this.#reader.askAll(this.#reader.targets(), "pools", {});
    const ids = [...new Set(answers.flatMap(({ answer }) => answer.pools))];
    const differences: Difference[] = [];
    for (const id of ids) {
      if ((scope.pool ?? id) !== id || (await records.get("pool", poolKey(id))) !== undefined) continue;
      const holding = answers.filter(({ answer }) => answer.pools.includes(id));
      differences.push(await this.#pool(id, holding));
    }
    return { differences, looked: ids.length, bytes: 0, next: "0" };
  }

  async #pool(id: string, holding: readonly Answered<unknown>[]): Promise<Difference> {
    const held = (await this.#reader.askAll(holding, "pool", { pool: id })).flatMap(({ answer }) => answer.held ?? []);
    const pool = held.map(({ note }) => recordOfNote("pool", note)).find((record) => record !== undefined);
    const map = held.some((one) => recordOfNote("map", one.map) !== undefined);
    const ranks = [...new Set(holding.map(({ rank }) => rank))];
    const subject = { poolId: id, ...(pool !== undefined && { pool }), targets: holding };
    const owed = await Promise.all(ranks.map((rank) => this.#reader.records.get("removal", removalKey(rank, id))));
    const place = `pool ${pool?.label ?? id}`;
    if (owed.some((record) => record !== undefined)) {
      const state = `it was destroyed while rank ${ranks.join(", ")} was away, which still has it`;
      return { class: "POOL_HALF_REMOVED", place, state, subject };
    }
    const state = `rank ${ranks.join(", ")} has it (${id}), and there is no record of it`;
    const canReadd = pool !== undefined && map;
    return { class: "POOL_NONEXIST_ON_MS", place, state, ...(!canReadd && { action: "IGNORE" }), subject };
  }

  async #containers(after: number, scope: CheckScope): Promise<Look> {
    const pages = await this.#reader.askAll(this.#reader.targets(), "holdings", { after });
    const upTo = Math.min(...pages.map(({ answer }) => answer.next ?? Number.POSITIVE_INFINITY));
    const held = pages.flatMap(({ answer, ...target }) =>
      answer.containers.filter(({ number }) => number <= upTo).map((container) => ({ ...target, answer: container })),
    );
    const byNumber = Map.groupBy(held, ({ answer }) => answer.number);
    const known = await this.#reader.poolsOf(byNumber.keys());
    const maps = new Map<string, MapRecord | undefined>();
    const differences: Difference[] = [];
    for (const [number, holding] of byNumber) {
      const pool = known.get(number);
      if (pool === undefined) differences.push(...(await this.#orphan(number, holding, scope)));
      else if ((scope.pool ?? pool) === pool) {
        if (!maps.has(pool)) maps.set(pool, (await this.#reader.records.get("map", mapKey(pool)))?.record);
        differences.push(...outsideMap(number, pool, holding, maps.get(pool)));
      }
    }
    const next = Number.isFinite(upTo) ? String(upTo) : undefined;
    return { differences, looked: byNumber.size, bytes: 0, next };
  }

  /** An engine that a pool has no part in any more does not hear what becomes of its containers. */
  async #isOfMap(pool: string, ranks: readonly number[]): Promise<boolean> {
    const { records } = this.#reader;
    const map = (await records.get("map", mapKey(pool)))?.record;
    if (map === undefined || (await records.get("pool", poolKey(pool))) === undefined) return false;
    return map.targets.some(({ rank }) => ranks.includes(rank));
  }

  async #orphan(number: number, holding: readonly Answered<HeldContainer>[], scope: CheckScope): Promise<Difference[]> {
    const container = holding
      .map(({ answer }) => recordOfNote("container", answer.note))
      .find((record) => record !== undefined);
    const pool = container?.pool ?? holding.find(({ answer }) => answer.pool !== null)?.answer.pool ?? undefined;
    if (scope.pool !== undefined && pool !== scope.pool) return [];
    const ranks = [...new Set(holding.map(({ rank }) => rank))];
    const targets = holding.map(({ rank, target }) => ({ rank, target }));
    const subject = { number, ...(container !== undefined && { container }), targets };
    const place = `container ${container?.label ?? ""} (number ${number})`.replace("  ", " ");
    const { records } = this.#reader;
    const owed = await Promise.all(ranks.map((rank) => records.get("removal", removalKey(rank, number))));
    if (owed.every((record) => record !== undefined)) {
      const state = `it was destroyed while rank ${ranks.join(", ")} was away, which still has it`;
      return [{ class: "CONT_HALF_REMOVED", place, state, subject }];
    }
    const versions = holding.reduce((sum, { answer }) => sum + answer.versions, 0);
    const size = versions === 0 ? "without data" : "with data";
    const state = `rank ${ranks.join(", ")} has it, ${size}, of pool ${pool ?? "unknown"}; there is no record of it`;
    const canReadd = container !== undefined && (await this.#isOfMap(container.pool, ranks));
    return [{ class: "CONT_NONEXIST_ON_PS", place, state, ...(!canReadd && { action: "IGNORE" }), subject }];
  }
}

/** Targets that hold a container of a pool that they have no part in. */
function outsideMap(
  number: number,
  pool: string,
  holding: readonly Answered<HeldContainer>[],
  map: MapRecord | undefined,
): Difference[] {
  if (map === undefined) return [];
  const ranks = new Set(map.targets.map(({ rank }) => rank));
  return holding
    .filter(({ rank }) => !ranks.has(rank))
    .map(({ rank, target }) => ({
      class: "ENGINE_NONEXIST_IN_MAP" as const,
      place: `container number ${number}, ${targetName({ rank, target })}`,
      state: `the target has it, and no part in its pool ${pool}`,
      subject: { number, rank, target },
    }));
}
