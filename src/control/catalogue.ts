/**
 * Finds pools and containers by what people call them: a label or an id. Reads only; what is found may have changed when
 * the caller acts on it, so changes compare the revision that was read here or read again.
 */
import { DaosError } from "../base/errors.ts";
import { didYouMean } from "../base/suggestion.ts";
import { parseUuid } from "../base/uuid.ts";
import { containerKey, containerLabelKey, poolKey, poolLabelKey } from "../format/meta-key.ts";
import type { MetaRecords, Stored } from "./meta-records.ts";

/** Labels looked at for a suggestion. */
const SUGGESTION_LABELS = 256;
/** A reference of more characters is not repeated in messages. */
const MAX_SHOWN_REFERENCE = 127;

export class Catalogue {
  readonly #records: MetaRecords;

  constructor(records: MetaRecords) {
    this.#records = records;
  }

  /** The pool of this label or id, in any state. Throws NOT_FOUND. */
  async pool(reference: string): Promise<Stored<"pool">> {
    const id = parseUuid(reference) ?? (await this.#idOf(poolLabelKey(reference)));
    const found = id === undefined ? undefined : await this.#records.get("pool", poolKey(id));
    if (found !== undefined) return found;
    const meant = didYouMean(reference, await this.#labels(poolLabelKey("")));
    throw notFound("pool", reference, `there is none.${meant} \`daos pool list\` shows them`);
  }

  /** The container of this label or id in a pool; one that is still being created does not exist. Throws NOT_FOUND. */
  async container(pool: Stored<"pool">, reference: string): Promise<Stored<"container">> {
    const poolId = pool.record.id;
    const id = parseUuid(reference) ?? (await this.#idOf(containerLabelKey(poolId, reference)));
    const found = id === undefined ? undefined : await this.#records.get("container", containerKey(poolId, id));
    if (found !== undefined && found.record.state !== "creating") return found;
    const { label } = pool.record;
    const meant = didYouMean(reference, await this.#labels(containerLabelKey(poolId, "")));
    throw notFound(
      "container",
      reference,
      `pool "${label}" has none.${meant} \`daos container list ${label}\` shows them`,
    );
  }

  async #idOf(key: string): Promise<string | undefined> {
    return (await this.#records.get("label", key))?.record.id;
  }

  async #labels(prefix: string): Promise<string[]> {
    const found = await this.#records.page("label", prefix, SUGGESTION_LABELS);
    return found.map(({ key }) => key.slice(prefix.length));
  }
}

function notFound(noun: string, reference: string, state: string): DaosError {
  const shown = reference.length > MAX_SHOWN_REFERENCE ? `${reference.slice(0, MAX_SHOWN_REFERENCE)}...` : reference;
  return new DaosError("NOT_FOUND", `Cannot find ${noun} "${shown}": ${state}.`);
}
