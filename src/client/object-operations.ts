/**
 * The object calls of an open container: single values, array records, punches, and keys in order. Everything above is
 * built on these, also interface plugins, to which this is the ObjectAccess.
 *
 * Keys are byte strings within their limits; the callers see to that. At an epoch other than EPOCH_NONE everything is
 * read as it was then, and nothing can be written.
 */
import { notBytes } from "../base/bytes-argument.ts";
import type { ByteString } from "../base/bytes.ts";
import { type Epoch, EPOCH_NONE } from "../base/epoch.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import { MAX_ARRAY_IO_BYTES, MAX_SINGLE_VALUE_BYTES } from "../base/limits.ts";
import { type ObjectClass, objectClassByName } from "../base/object-class.ts";
import { isErasureCoded, type ObjectId } from "../base/object-id.ts";
import type { Condition, FetchedValue, ObjectAccess } from "../contracts/interface.ts";
import { decodeObjectReply, type ObjectReply, ReplyFlag } from "../format/object-request.ts";
import { Opcode } from "../format/operations.ts";
import type { FrameBody } from "../rpc/frame-body.ts";
import { summed } from "../rpc/pending-call.ts";
import { AllowedConditions, conditionFlags, type LevelConditions, type PresenceConditions } from "./condition-flags.ts";
import type { ContainerSession } from "./container-session.ts";
import { ErasureReads } from "./erasure-reads.ts";
import { keyPages } from "./key-pages.ts";
import { type AnswerDecoder, ObjectCall } from "./object-call.ts";
import { isPunchedByOne, punchAtomically } from "./object-punch.ts";
import { isCount, notAnEpoch, rangeRefusal, type RecordRange } from "./record-range.ts";
import { wrongReply } from "./reply.ts";

export interface ReadOptions {
  /** Read as of this epoch; a snapshot's. */
  readonly epoch?: Epoch | undefined;
  readonly signal?: AbortSignal | undefined;
}
/** Of reads of one akey. */
export interface FetchOptions extends ReadOptions {
  /** Without them, what is not there reads as undefined or zeros. */
  readonly conditions?: PresenceConditions | undefined;
}
export interface WriteOptions {
  /** Short for `conditions` with the deepest level that the operation names. */
  readonly condition?: Condition | undefined;
  /** Conditions at each level; all must hold. */
  readonly conditions?: LevelConditions | undefined;
  readonly signal?: AbortSignal | undefined;
}
export interface ListOptions extends ReadOptions {
  readonly prefix?: ByteString | undefined;
  readonly after?: ByteString | undefined;
  readonly limit?: number | undefined;
}

const NO_KEY = "" as ByteString;
const NO_OPTIONS = {};

export class ObjectOperations implements ObjectAccess {
  readonly session: ContainerSession;
  /** EPOCH_NONE: the latest. */
  readonly epoch: Epoch;
  readonly defaultClass: ObjectClass;
  readonly #erasure = new ErasureReads(this);

  constructor(session: ContainerSession, epoch: Epoch) {
    this.session = session;
    this.epoch = epoch;
    const name = session.container.properties["oclass"];
    this.defaultClass = objectClassByName(typeof name === "string" ? name : "SX");
  }

  get containerType(): string {
    return this.session.container.type;
  }

  fetchValue(
    oid: ObjectId,
    dkey: ByteString,
    akey: ByteString,
    options: FetchOptions = NO_OPTIONS,
  ): Promise<FetchedValue | undefined> {
    if (isErasureCoded(oid)) return this.#erasure.fetchValue({ oid, dkey, akey }, options);
    return this.#read(new ObjectCall(Opcode.valueFetch, oid, dkey, akey, decodeValue), options);
  }

  updateValue(
    oid: ObjectId,
    dkey: ByteString,
    akey: ByteString,
    value: Uint8Array,
    options: WriteOptions = NO_OPTIONS,
  ): Promise<Epoch> {
    if (!(value instanceof Uint8Array)) return Promise.reject(notBytes("update the value", value));
    if (value.length > MAX_SINGLE_VALUE_BYTES) return Promise.reject(valueTooLarge(value.length));
    const call = new ObjectCall(Opcode.valueUpdate, oid, dkey, akey, decodeEpoch);
    call.payload = summed(value);
    return this.#write(call, options, "akey", AllowedConditions.write);
  }

  punchAkey(oid: ObjectId, dkey: ByteString, akey: ByteString, options: WriteOptions = NO_OPTIONS): Promise<Epoch> {
    const call = new ObjectCall(Opcode.akeyPunch, oid, dkey, akey, decodeEpoch);
    return this.#write(call, options, "akey", AllowedConditions.punchAkey);
  }

  punchDkey(oid: ObjectId, dkey: ByteString, options: WriteOptions = NO_OPTIONS): Promise<Epoch> {
    const call = new ObjectCall(Opcode.dkeyPunch, oid, dkey, NO_KEY, decodeEpoch);
    return this.#write(call, options, "dkey", AllowedConditions.punchDkey);
  }

  /**
   * Punches the object, on all of its targets at one epoch. `ifExists` fails with DOES_NOT_EXIST when there was nothing
   * of it. Over several targets, or with redundancy, it is a transaction: CONFLICT when others are in its way for long.
   */
  async punchObject(oid: ObjectId, options: WriteOptions = NO_OPTIONS): Promise<Epoch> {
    if (isPunchedByOne(this.session, oid)) {
      const call = new ObjectCall(Opcode.objectPunch, oid, NO_KEY, NO_KEY, decodeEpoch);
      try {
        return await this.#write(call, options, "object", AllowedConditions.punchObject);
      } catch (error) {
        // The object has begun to move meanwhile: nothing was punched.
        if (!hasCode(error, "UNSUPPORTED") || isPunchedByOne(this.session, oid)) throw error;
      }
    }
    if (this.session.readOnly || this.epoch !== EPOCH_NONE) throw notWritable(this.epoch);
    const flags = conditionFlags(options.condition, "object", options.conditions, AllowedConditions.punchObject);
    const { signal } = options;
    const someDkey = async (epoch: Epoch): Promise<ByteString | undefined> =>
      (await this.listDkeys(oid, { limit: 1, epoch, signal }))[0];
    return punchAtomically(this.session, { oid, signal, ifExists: flags !== 0, someDkey });
  }

  /**
   * The records' bytes; undefined when nothing of the range was ever written, or it was punched. At most MAX_ARRAY_IO_BYTES.
   * `place` is memory that they may be received in, and then are a view of, but need not; it holds anything on rejection.
   */
  readRecords(
    oid: ObjectId,
    dkey: ByteString,
    akey: ByteString,
    range: RecordRange,
    options: FetchOptions = NO_OPTIONS,
    place?: Uint8Array,
  ): Promise<Uint8Array | undefined> {
    const refusal = rangeRefusal(range);
    if (refusal !== undefined) return Promise.reject(refusal);
    if (range.recordCount * range.recordBytes > MAX_ARRAY_IO_BYTES) return Promise.reject(transferTooLarge("read"));
    if (isErasureCoded(oid)) return this.#erasure.readRecords({ oid, dkey, akey }, range, options, place);
    const call = new ObjectCall(Opcode.arrayRead, oid, dkey, akey, decodeRecords);
    call.place = place;
    setRange(call, range);
    return this.#read(call, options);
  }

  /** Writes whole records from `recordIndex` on; `bytes` holds range.recordCount of them, at most MAX_ARRAY_IO_BYTES. */
  writeRecords(
    oid: ObjectId,
    dkey: ByteString,
    akey: ByteString,
    range: RecordRange,
    bytes: Uint8Array,
    options: WriteOptions = NO_OPTIONS,
  ): Promise<Epoch> {
    if (!(bytes instanceof Uint8Array)) return Promise.reject(notBytes("write the records", bytes));
    const refusal = rangeRefusal(range);
    if (refusal !== undefined) return Promise.reject(refusal);
    if (bytes.length > MAX_ARRAY_IO_BYTES) return Promise.reject(transferTooLarge("write"));
    const call = new ObjectCall(Opcode.arrayWrite, oid, dkey, akey, decodeEpoch);
    setRange(call, range);
    call.payload = summed(bytes);
    return this.#write(call, options, "akey", AllowedConditions.write);
  }

  punchRecords(
    oid: ObjectId,
    dkey: ByteString,
    akey: ByteString,
    range: RecordRange,
    options: WriteOptions = NO_OPTIONS,
  ): Promise<Epoch> {
    const refusal = rangeRefusal(range);
    if (refusal !== undefined) return Promise.reject(refusal);
    const call = new ObjectCall(Opcode.arrayPunch, oid, dkey, akey, decodeEpoch);
    setRange(call, range);
    return this.#write(call, options, "akey", AllowedConditions.write);
  }

  async listDkeys(oid: ObjectId, options: ListOptions = NO_OPTIONS): Promise<ByteString[]> {
    const limit = options.limit ?? Number.MAX_SAFE_INTEGER;
    const keys: ByteString[] = [];
    if (limit === 0) return keys;
    for await (const page of keyPages(this, { opcode: Opcode.dkeyList, oid }, options)) {
      for (const key of page) keys.push(key);
      if (keys.length >= limit) break;
    }
    return keys.length > limit ? keys.slice(0, limit) : keys;
  }

  #read<T>(call: ObjectCall<T>, options: FetchOptions): Promise<T> {
    const epoch = options.epoch ?? this.epoch;
    if (!isCount(epoch)) return Promise.reject(notAnEpoch(epoch));
    if (options.conditions !== undefined) {
      try {
        call.flags = conditionFlags(undefined, "akey", options.conditions, AllowedConditions.read);
      } catch (error) {
        return Promise.reject(error);
      }
    }
    call.isRead = true;
    call.epoch = epoch;
    call.signal = options.signal;
    return this.session.send(call);
  }

  #write(
    call: ObjectCall<Epoch>,
    options: WriteOptions,
    level: "object" | "dkey" | "akey",
    allowed: number,
  ): Promise<Epoch> {
    if (this.session.readOnly || this.epoch !== EPOCH_NONE) return Promise.reject(notWritable(this.epoch));
    const { condition, conditions } = options;
    if (condition !== undefined || conditions !== undefined) {
      try {
        call.flags = conditionFlags(condition, level, conditions, allowed);
      } catch (error) {
        return Promise.reject(error);
      }
    }
    call.signal = options.signal;
    return this.session.sendUpdate(call);
  }
}

function setRange(call: { -readonly [Field in keyof RecordRange]: number }, range: RecordRange): void {
  call.recordIndex = range.recordIndex;
  call.recordCount = range.recordCount;
  call.recordBytes = range.recordBytes;
}

const decodeValue: AnswerDecoder<FetchedValue | undefined> = (body) => {
  const reply = replyOf(body);
  if ((reply.flags & ReplyFlag.found) === 0) return undefined;
  if (reply.lengthBytes !== body.payloadLength)
    throw wrongReply("value fetch", "the value's length is not the one named");
  return { value: body.ownPayload(), epoch: reply.epoch };
};

const decodeEpoch: AnswerDecoder<Epoch> = (body) => replyOf(body).epoch;

const decodeRecords: AnswerDecoder<Uint8Array | undefined> = (body, call) => {
  const reply = replyOf(body);
  if ((reply.flags & ReplyFlag.found) === 0) return undefined;
  if (body.payloadLength !== call.recordCount * call.recordBytes) {
    throw wrongReply("array read", "it has not the bytes asked for");
  }
  return body.ownPayload(call.place);
};

function replyOf(body: FrameBody): ObjectReply {
  return decodeObjectReply(body.bytes, body.argumentsStart, body.argumentsLength);
}

function notWritable(epoch: Epoch): DaosError {
  const state = epoch === EPOCH_NONE ? "it was opened read-only" : `this is the view of epoch ${epoch}`;
  return new DaosError("PERMISSION", `Cannot write to the container: ${state}. Open the container for writing.`);
}

export function valueTooLarge(sizeBytes: number): DaosError {
  const state = `it has ${sizeBytes} bytes, ${MAX_SINGLE_VALUE_BYTES} are allowed`;
  return new DaosError("TOO_LARGE", `Cannot update the value: ${state}. Store it as an array.`);
}

export function transferTooLarge(action: string): DaosError {
  const state = `one request carries at most ${MAX_ARRAY_IO_BYTES} bytes`;
  return new DaosError("TOO_LARGE", `Cannot ${action} the records: ${state}. Split it, or use an array handle.`);
}
