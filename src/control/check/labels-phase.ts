/** Records that belong to another one, which is not there: labels of nothing, containers without their pool. */
import {
  CONTAINER_LABEL_PREFIX,
  CONTAINER_PREFIX,
  containerKey,
  POOL_LABEL_PREFIX,
  poolKey,
} from "../../format/meta-key.ts";
import type { CheckReader } from "./check-reader.ts";
import type { Difference } from "./difference.ts";
import type { CheckScope, Look, Phase } from "./phase.ts";

const PAGE_RECORDS = 256;
const KINDS = [POOL_LABEL_PREFIX, CONTAINER_LABEL_PREFIX, CONTAINER_PREFIX] as const;

/** The position is the last key that was looked at. */
export class LabelsPhase implements Phase {
  readonly name = "records";
  readonly #reader: CheckReader;

  constructor(reader: CheckReader) {
    this.#reader = reader;
  }

  async look(position: string, scope: CheckScope): Promise<Look> {
    const at = position === "" ? 0 : KINDS.findIndex((kind) => position.startsWith(kind));
    const prefix = KINDS[Math.max(at, 0)]!;
    const after = position === "" || position === prefix ? undefined : position;
    const { records } = this.#reader;
    const next = (keys: readonly { readonly key: string }[]): string | undefined =>
      keys.length < PAGE_RECORDS ? KINDS[at + 1] : keys.at(-1)!.key;
    if (prefix === CONTAINER_PREFIX) {
      const page = await records.page("container", prefix, PAGE_RECORDS, after);
      const pools = new Map<string, boolean>();
      const differences: Difference[] = [];
      for (const { key, record } of page) {
        if (!pools.has(record.pool))
          pools.set(record.pool, (await records.get("pool", poolKey(record.pool))) !== undefined);
        if (pools.get(record.pool) === true || (scope.pool ?? record.pool) !== record.pool) continue;
        const place = `container ${record.label} (${record.id})`;
        const state = `its pool ${record.pool} has no record`;
        differences.push({ class: "CONT_WITHOUT_POOL", place, state, subject: { container: record, key } });
      }
      return { differences, looked: page.length, bytes: 0, next: next(page) };
    }
    const page = await records.page("label", prefix, PAGE_RECORDS, after);
    const differences: Difference[] = [];
    for (const { key, record } of page) {
      const found = await this.#owner(prefix, key, record.id);
      if (found === undefined || (scope.pool ?? found.pool) !== found.pool) continue;
      const { name, place, state } = found;
      differences.push({ class: name, place, state, subject: { key } });
    }
    return { differences, looked: page.length, bytes: 0, next: next(page) };
  }

  /** What is wrong with a label's record. */
  async #owner(
    prefix: string,
    key: string,
    id: string,
  ): Promise<{ name: Difference["class"]; pool: string; place: string; state: string } | undefined> {
    const { records } = this.#reader;
    const rest = key.slice(prefix.length);
    if (prefix === POOL_LABEL_PREFIX) {
      const pool = await records.get("pool", poolKey(id));
      if (pool?.record.label === rest) return undefined;
      const state = pool === undefined ? "there is no such pool" : `that pool has label "${pool.record.label}"`;
      return { name: "POOL_BAD_LABEL", pool: id, place: `label ${rest}`, state: `it stands for pool ${id}; ${state}` };
    }
    const [pool = "", ...words] = rest.split("/");
    const label = words.join("/");
    const container = await records.get("container", containerKey(pool, id));
    if (container?.record.label === label) return undefined;
    const state =
      container === undefined ? "there is no such container" : `that one has label "${container.record.label}"`;
    const place = `label ${label} in pool ${pool}`;
    return { name: "CONT_BAD_LABEL", pool, place, state: `it stands for container ${id}; ${state}` };
  }
}
