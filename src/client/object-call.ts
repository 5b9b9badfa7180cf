/**
 * One hot request on its way: the fields of its wire record, what is needed to send it again, and the promise it settles.
 * One object an operation, and the answer is read where the connection received it.
 */
import type { ByteString } from "../base/bytes.ts";
import { crc32 } from "../base/checksum.ts";
import { type Epoch, EPOCH_NONE } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import type { ObjectId } from "../base/object-id.ts";
import { encodeObjectRequest, ObjectFlag, type ObjectRequest } from "../format/object-request.ts";
import type { Opcode } from "../format/operations.ts";
import type { FrameBody } from "../rpc/frame-body.ts";
import type { ArgumentEncoder, RequestPayload, RpcCompletion } from "../rpc/pending-call.ts";
import { isDamage } from "./retry.ts";
import type { RequestNumbers } from "../rpc/request-numbers.ts";
import type { RpcLink } from "./rpc-link.ts";
import type { PacedCall, TargetPace } from "./target-pace.ts";

/** `target` of a call that goes where its dkey lives. */
export const TARGET_OF_DKEY = -1;

/** How often an update takes another number because it is too old at its first sending. */
const MAX_RENAMES = 3;

/** Makes the result from an answer's body, which is valid in the call only. */
export type AnswerDecoder<T> = (body: FrameBody, call: ObjectCall<T>) => T;

/** Who sends a call again after a failure; it settles the call or sends it again. */
export interface CallSender {
  callFailed(call: ObjectCall<unknown>, error: DaosError, wasSent: boolean): void;
  /** The call has another number, and was never sent under it. */
  callRenamed(call: ObjectCall<unknown>): void;
  /** See PacedCall.late. */
  callLate(call: ObjectCall<unknown>): boolean;
}

export class ObjectCall<T> implements ObjectRequest, ArgumentEncoder, RpcCompletion, PacedCall {
  handle = 0;
  flags = 0;
  readonly oid: ObjectId;
  readonly dkey: ByteString;
  readonly akey: ByteString;
  epoch: Epoch = EPOCH_NONE;
  recordIndex = 0;
  recordCount = 0;
  recordBytes = 0;
  readonly opcode: Opcode;
  payload: RequestPayload | undefined = undefined;
  /** The payload of an update whose bytes are staged, for when it has to be sent another time. */
  #bytes: RequestPayload | undefined = undefined;
  /** The caller's memory for the payload of the answer, when that is just as long. */
  place: Uint8Array | undefined = undefined;
  signal: AbortSignal | undefined = undefined;
  /** Index of the target it goes to, or TARGET_OF_DKEY. */
  target = TARGET_OF_DKEY;
  /** Not sent again when it fails: the caller knows other targets to ask. */
  firm = false;
  client = 0;
  /** It reads, and nothing else. */
  isRead = false;
  /** 0 for reads. */
  sequence = 0;
  firstIncomplete = 0;
  issued: Epoch = EPOCH_NONE;
  /** How often it may have been sent under its number. */
  sendings = 0;
  #renames = 0;
  /** Its number is its own, and is part of nothing else. */
  #isNamed = false;
  /** Where the number of an update was given. */
  numbers: RequestNumbers | undefined = undefined;
  /** Opening of the container it was last sent under. */
  generation = 0;
  sender: CallSender | undefined = undefined;
  isSettled = false;
  startedTick = 0;
  /** The target that it was sent to last, and its pace. */
  placed = TARGET_OF_DKEY;
  pace: TargetPace | undefined = undefined;
  /** Where it was sent last, and who waits for the answer there. */
  link: RpcLink | undefined = undefined;
  completion: RpcCompletion = this;
  /** The same read at another target, whose answer serves as well. */
  #twin: ObjectCall<T> | undefined = undefined;
  /** Of a call to one target: what happens when it is late. */
  onLate: (() => boolean) | undefined = undefined;
  resolve!: (value: T) => void;
  reject!: (error: unknown) => void;
  readonly #decode: AnswerDecoder<T>;

  constructor(opcode: Opcode, oid: ObjectId, dkey: ByteString, akey: ByteString, decode: AnswerDecoder<T>) {
    this.opcode = opcode;
    this.oid = oid;
    this.dkey = dkey;
    this.akey = akey;
    this.#decode = decode;
  }

  encode(into: Buffer, offset: number): void {
    if (this.numbers !== undefined) {
      this.firstIncomplete = this.numbers.firstIncomplete;
      this.issued = this.numbers.issued(this.sequence);
    }
    encodeObjectRequest(into, offset, this);
  }

  answered(body: FrameBody): void {
    if (this.isSettled) return;
    if (this.isRead && this.sendings === 1) this.pace?.answered(this.startedTick);
    else this.pace?.heard();
    let result: T;
    try {
      result = this.#decode(body, this);
    } catch (error) {
      if (error instanceof DaosError && isDamage(error)) this.failed(error, true);
      else this.giveUp(error);
      return;
    }
    this.#settle();
    this.resolve(result);
  }

  /** It will not be sent again. */
  giveUp(error: unknown): void {
    if (this.isSettled) return;
    this.#settle();
    this.reject(error);
  }

  #settle(): void {
    this.isSettled = true;
    this.numbers?.end(this.sequence);
    this.#twin?.abandon();
  }

  late(): boolean {
    return this.onLate === undefined ? this.sender!.callLate(this as ObjectCall<unknown>) : this.onLate();
  }

  /** The same read at one target. */
  twin(target: number): ObjectCall<T> {
    const twin = new ObjectCall(this.opcode, this.oid, this.dkey, this.akey, this.#decode);
    twin.flags = this.flags;
    twin.epoch = this.epoch;
    twin.recordIndex = this.recordIndex;
    twin.recordCount = this.recordCount;
    twin.recordBytes = this.recordBytes;
    twin.isRead = true;
    twin.target = target;
    twin.firm = true;
    return twin;
  }

  /** `answer` is that of a twin. Settles the call with it, when it comes first; `failed` is called when there is none. */
  race(twin: ObjectCall<T>, answer: Promise<T>, failed: () => void): void {
    this.#twin = twin;
    answer.then(
      (result) => {
        if (this.isSettled) return;
        this.#twin = undefined;
        this.#settle();
        this.#withdraw();
        this.resolve(result);
      },
      () => {
        this.#twin = undefined;
        if (!this.isSettled) failed();
      },
    );
  }

  /** Nobody waits for it any more: its promise is never settled, unless it was. */
  abandon(): void {
    if (this.isSettled) return;
    this.#settle();
    this.#withdraw();
  }

  /** No answer will be written to the caller's memory. */
  #withdraw(): void {
    this.link?.abandon(this.completion);
  }

  /** Gives an update its number. */
  name(numbers: RequestNumbers): void {
    this.numbers = numbers;
    this.#isNamed = true;
    this.client = numbers.client;
    this.sequence = numbers.begin();
  }

  /**
   * After a failure: true when it has another number now, and is to be sent as if it never was. So it is when the answer
   * to its first sending was that its number is too old: it was not done. `wasSent`: see RpcCompletion.
   */
  renamed(error: DaosError, wasSent: boolean): boolean {
    const { numbers } = this;
    if (!wasSent) this.sendings -= 1;
    const isFirst = this.sendings === 1 && this.#renames < MAX_RENAMES;
    if (error.code !== "OLD_REQUEST" || numbers === undefined || !this.#isNamed || !isFirst) return false;
    numbers.end(this.sequence);
    this.name(numbers);
    this.sendings = 0;
    this.#renames += 1;
    return true;
  }

  /** The bytes are staged at all members: the update is sent with this record of them. */
  nameStaged(record: Uint8Array): void {
    this.#bytes = this.payload;
    this.payload = record;
    this.flags |= ObjectFlag.staged;
  }

  /** It failed: what was staged may be gone, so the bytes go with it from now on. */
  nameBytes(): void {
    if (this.#bytes === undefined) return;
    this.payload = this.#bytes;
    this.#bytes = undefined;
    this.flags &= ~ObjectFlag.staged;
  }

  /**
   * What it fails with when it was refused as damaged because its bytes are no longer what they were when it was made: to
   * send them again would be in vain. Else the error itself.
   */
  reasonOf(error: DaosError): DaosError {
    const { payload } = this;
    if (error.code !== "DAMAGED" || payload === undefined || !("views" in payload)) return error;
    const checksum = payload.views.reduce((sum, view) => crc32(view, sum), 0);
    return checksum === payload.checksum ? error : changedMeanwhile(error);
  }

  payloadPlace(sizeBytes: number): Uint8Array | undefined {
    return this.place?.length === sizeBytes ? this.place : undefined;
  }

  failed(failure: DaosError, wasSent: boolean): void {
    if (this.isSettled) return;
    this.nameBytes();
    const error = this.reasonOf(failure);
    if (this.renamed(error, wasSent)) this.sender!.callRenamed(this as ObjectCall<unknown>);
    else this.sender!.callFailed(this as ObjectCall<unknown>, error, wasSent);
  }
}

function changedMeanwhile(cause: DaosError): DaosError {
  const state = "they changed in this program's memory before the call was answered";
  const advice = "Leave them as they are until then; else check the memory";
  return new DaosError("CORRUPT", `Cannot write the bytes: ${state}. ${advice}.`, { cause });
}
