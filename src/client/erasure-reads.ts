/**
 * Values and records of erasure-coded objects, put together from their shards: the same results and errors as of other
 * objects, while any of the shards that the class may lose are away.
 */
import type { Epoch } from "../base/epoch.ts";
import { missing, recordSizeMismatch } from "../base/object-refusals.ts";
import type { FetchedValue } from "../contracts/interface.ts";
import { ObjectFlag } from "../format/object-request.ts";
import { Opcode } from "../format/operations.ts";
import { AllowedConditions, conditionFlags } from "./condition-flags.ts";
import { ErasureAkey } from "./erasure-akey.ts";
import { keyPages, type KeyListSubject } from "./key-pages.ts";
import type { FetchOptions, ListOptions, ObjectOperations } from "./object-operations.ts";
import { isCount, notAnEpoch, type RecordRange } from "./record-range.ts";
import type { AkeyPlace } from "./shard-round.ts";

/** How to read: checked, with the conditions as flags. */
interface ReadTerms {
  readonly epoch: Epoch;
  readonly flags: number;
  readonly signal: AbortSignal | undefined;
}

export class ErasureReads {
  readonly #operations: ObjectOperations;

  constructor(operations: ObjectOperations) {
    this.#operations = operations;
  }

  /** See ObjectOperations.fetchValue. */
  async fetchValue(place: AkeyPlace, options: FetchOptions): Promise<FetchedValue | undefined> {
    const terms = this.#terms(options);
    const shards = new ErasureAkey(this.#operations.session, place, terms.signal);
    const { result } = await shards.read(terms.epoch, (scheme, epoch, alive) => scheme.planValueRead(epoch, alive));
    if (result !== "absent") return { value: result.bytes, epoch: result.epoch };
    await this.#checkConditions(place, terms);
    return undefined;
  }

  /** See ObjectOperations.readRecords. */
  async readRecords(
    place: AkeyPlace,
    range: RecordRange,
    options: FetchOptions,
    into: Uint8Array | undefined,
  ): Promise<Uint8Array | undefined> {
    const terms = this.#terms(options);
    const { recordIndex, recordCount, recordBytes } = range;
    const start = recordIndex * recordBytes;
    const length = recordCount * recordBytes;
    const shards = new ErasureAkey(this.#operations.session, place, terms.signal);
    const { result, round } = await shards.read(terms.epoch, (scheme, epoch, alive) =>
      scheme.planRead(start, length, epoch, alive),
    );
    const { bytes, extents } = result;
    const isFound = extents.length > 0;
    if (!isFound) await this.#checkConditions(place, terms);
    if (round.recordBytes !== 0 && round.recordBytes !== recordBytes) {
      // An array of which nothing is left may be begun anew, with other records.
      if (isFound || (await this.#holdsAkey(place, terms))) throw recordSizeMismatch(recordBytes, round.recordBytes);
    }
    round.recycle(bytes);
    if (!isFound || into?.length !== length) return isFound ? bytes : undefined;
    into.set(bytes);
    this.#operations.session.buffers.recycle(bytes);
    return into;
  }

  /** Throws INVALID_ARGUMENT. */
  #terms({ epoch = this.#operations.epoch, conditions, signal }: FetchOptions): ReadTerms {
    if (!isCount(epoch)) throw notAnEpoch(epoch);
    const flags = conditionFlags(undefined, "akey", conditions, AllowedConditions.read);
    return { epoch, flags, signal };
  }

  /** Of a read that found nothing: what it did find exists. Rejects with DOES_NOT_EXIST. */
  async #checkConditions(place: AkeyPlace, terms: ReadTerms): Promise<void> {
    const { oid, dkey } = place;
    const { flags } = terms;
    if (flags === 0) return;
    if (await this.#holdsAkey(place, terms)) return;
    if ((flags & ObjectFlag.ifAkeyExists) !== 0) throw missing("akey");
    if (await this.#holdsAny({ opcode: Opcode.akeyList, oid, dkey }, terms)) return;
    if ((flags & ObjectFlag.ifDkeyExists) !== 0) throw missing("dkey");
    if (!(await this.#holdsAny({ opcode: Opcode.dkeyList, oid }, terms))) throw missing("object");
  }

  async #holdsAkey({ oid, dkey, akey }: AkeyPlace, terms: ReadTerms): Promise<boolean> {
    // Of all keys that begin with it, it is the first.
    return (await this.#firstKey({ opcode: Opcode.akeyList, oid, dkey }, terms, { prefix: akey })) === akey;
  }

  async #holdsAny(subject: KeyListSubject, terms: ReadTerms): Promise<boolean> {
    return (await this.#firstKey(subject, terms, {})) !== undefined;
  }

  async #firstKey(
    subject: KeyListSubject,
    { epoch, signal }: ReadTerms,
    options: ListOptions,
  ): Promise<string | undefined> {
    for await (const [first] of keyPages(this.#operations, subject, { ...options, epoch, signal, limit: 1 })) {
      return first;
    }
    return undefined;
  }
}
