/**
 * Values and records of erasure-coded objects, put together from their shards: the same results and errors as of other
 * objects, while any of the shards that the class may lose are away.
 */
import type { AkeyPlace } from "../base/key-place.ts";
import { missing, recordSizeMismatch } from "../base/object-refusals.ts";
import type { FetchedValue } from "../contracts/interface.ts";
import { ObjectFlag } from "../format/object-request.ts";
import { Opcode } from "../format/operations.ts";
import { AllowedConditions, conditionFlags } from "./condition-flags.ts";
import { ErasureAkey } from "./erasure-akey.ts";
import type { ReadMoment } from "./extent-page.ts";
import { holdsAkey, holdsAny } from "./key-presence.ts";
import type { FetchOptions, ObjectOperations } from "./object-operations.ts";
import { isCount, notAnEpoch, type RecordRange } from "./record-range.ts";

/** How to read: checked, with the conditions as flags. */
interface ReadTerms extends ReadMoment {
  readonly flags: number;
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
    const memory = into?.length === length ? into : undefined;
    const { result, round } = await shards.read(terms.epoch, (scheme, epoch, alive, isSecond) =>
      scheme.planRead(start, length, epoch, alive, isSecond ? undefined : memory),
    );
    const { bytes, extents } = result;
    const isFound = extents.length > 0;
    if (!isFound) await this.#checkConditions(place, terms);
    if (round.recordBytes !== 0 && round.recordBytes !== recordBytes) {
      // An array of which nothing is left may be begun anew, with other records.
      if (isFound || (await holdsAkey(this.#operations, place, terms)))
        throw recordSizeMismatch(recordBytes, round.recordBytes);
    }
    round.recycle(bytes);
    if (!isFound) return undefined;
    if (memory === undefined || bytes.buffer === memory.buffer) return bytes;
    memory.set(bytes);
    this.#operations.session.buffers.recycle(bytes);
    return memory;
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
    if (await holdsAkey(this.#operations, place, terms)) return;
    if ((flags & ObjectFlag.ifAkeyExists) !== 0) throw missing("akey");
    if (await holdsAny(this.#operations, { opcode: Opcode.akeyList, oid, dkey }, terms)) return;
    if ((flags & ObjectFlag.ifDkeyExists) !== 0) throw missing("dkey");
    if (!(await holdsAny(this.#operations, { opcode: Opcode.dkeyList, oid }, terms))) throw missing("object");
  }
}
