/**
 * A target as a client sees it, kept in memory: handles, single values with versions, arrays of bytes without, keys in
 * order. Requests can be made to fail, to be lost before they are done, or to be done without an answer.
 */
import { byteString, bytesOf } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { DaosError } from "../../src/base/errors.ts";
import { decodeCbor, encodeCbor } from "../../src/format/cbor.ts";
import {
  decodeObjectRequest,
  encodeObjectReply,
  OBJECT_REPLY_BYTES,
  ObjectFlag,
  type ObjectRequest,
  ReplyFlag,
} from "../../src/format/object-request.ts";
import { type KeyListArguments, type KeyQueryArguments, Opcode } from "../../src/format/operations.ts";
import { decodeTransactionStep } from "../../src/format/transaction-part.ts";
import type { RpcHandler, RpcPeer, RpcReply, RpcRequest } from "../../src/rpc/request.ts";

/** What to do with the next request of an opcode instead of answering it. */
export type Mishap = { readonly error: DaosError } | "lost" | "unanswered" | "ignored";

interface Akey {
  /** Newest last; undefined: punched. */
  versions: { readonly epoch: number; readonly value: Uint8Array | undefined }[];
  bytes: Uint8Array;
  recordBytes: number;
  endBytes: number;
}

const PAGE_KEYS = 5;

export class FakeTarget implements RpcHandler {
  /** oid, then dkey, then akey. */
  readonly objects = new Map<string, Map<string, Map<string, Akey>>>();
  /** Requests done, by opcode. */
  readonly done = new Map<number, number>();
  readonly mishaps = new Map<number, Mishap[]>();
  readonly #answers = new Map<string, { args: Uint8Array; payload?: Uint8Array }>();
  /** Dkeys of parts that punch their objects. */
  readonly #punching = new Set<string>();
  readonly connections = new Set<RpcPeer>();
  mapVersion = 1;
  /** ObjectFlags of the last hot request. */
  lastFlags = 0;
  capability = "";
  #handles = new WeakMap<RpcPeer, Set<number>>();
  #nextHandle = 1;
  #held: { readonly request: RpcRequest; readonly reply: RpcReply }[] | undefined;
  readonly #nextEpoch: () => number;

  constructor(nextEpoch: () => number) {
    this.#nextEpoch = nextEpoch;
  }

  count(opcode: number): number {
    return this.done.get(opcode) ?? 0;
  }

  mishap(opcode: number, mishap: Mishap): void {
    const queue = this.mishaps.get(opcode) ?? [];
    this.mishaps.set(opcode, [...queue, mishap]);
  }

  /** Cuts every connection. */
  cut(): void {
    for (const connection of this.connections) connection.terminate();
    this.connections.clear();
  }

  /** Stands still: requests wait until it goes on. */
  hang(): void {
    this.#held ??= [];
  }

  goOn(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const { request, reply } of held) this.handle(request, reply);
  }

  handle(request: RpcRequest, reply: RpcReply): void {
    this.connections.add(request.connection);
    if (this.#held !== undefined) {
      this.#held.push({ request, reply });
      return;
    }
    const mishap = this.mishaps.get(request.opcode)?.shift();
    if (mishap === "ignored") return;
    if (mishap === "lost") {
      request.connection.terminate();
      reply.fail(new DaosError("UNAVAILABLE", "gone"));
      return;
    }
    try {
      if (mishap !== undefined && typeof mishap === "object") throw mishap.error;
      const answer = this.#run(request);
      this.done.set(request.opcode, this.count(request.opcode) + 1);
      if (mishap === "unanswered") request.connection.terminate();
      reply.send(answer.args, answer.payload);
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      reply.fail(error);
    }
  }

  #run(request: RpcRequest): { args: Uint8Array; payload?: Uint8Array } {
    if (request.opcode === Opcode.attach) return { args: this.#attach(request) };
    if (request.opcode === Opcode.detach) {
      this.#handles.get(request.connection)?.delete((decodeCbor(request.args) as { handle: number }).handle);
      return { args: encodeCbor({}) };
    }
    if (request.mapVersion !== this.mapVersion) throw new DaosError("STALE", "Cannot serve: your map is old.");
    if (request.opcode < 128) return this.#runOnce(request);
    if (request.opcode === Opcode.epochQuery) return { args: encodeCbor({ epoch: this.#nextEpoch() }) };
    const args = decodeCbor(request.args) as KeyListArguments;
    this.#checkHandle(request.connection, args.handle);
    if (request.opcode === Opcode.keyQuery)
      return { args: encodeCbor(this.#query(args as unknown as KeyQueryArguments)) };
    return { args: encodeCbor(this.#list(request.opcode, args)) };
  }

  #attach(request: RpcRequest): Uint8Array {
    const { capability } = decodeCbor(request.args) as { capability: Uint8Array };
    if (Buffer.from(capability).toString() !== this.capability) throw new DaosError("STALE", "Cannot attach: expired.");
    const handles = this.#handles.get(request.connection) ?? new Set();
    this.#handles.set(request.connection, handles);
    handles.add(this.#nextHandle);
    return encodeCbor({ handle: this.#nextHandle++ });
  }

  #checkHandle(connection: RpcPeer, handle: number): void {
    if (this.#handles.get(connection)?.has(handle) !== true)
      throw new DaosError("STALE", "Cannot use handle: unknown.");
  }

  /** Handles that a connection holds; all connections together. */
  forgetHandles(): void {
    this.#handles = new WeakMap();
  }

  #akey(oid: string, dkey: string, akey: string): Akey | undefined {
    return this.objects.get(oid)?.get(dkey)?.get(akey);
  }

  #makeAkey(request: ObjectRequest): Akey {
    const dkeys = this.objects.get(request.oid) ?? new Map<string, Map<string, Akey>>();
    this.objects.set(request.oid, dkeys);
    const akeys = dkeys.get(request.dkey) ?? new Map<string, Akey>();
    dkeys.set(request.dkey, akeys);
    const found = akeys.get(request.akey);
    if (found !== undefined) return found;
    const made: Akey = { versions: [], bytes: new Uint8Array(0), recordBytes: 0, endBytes: 0 };
    akeys.set(request.akey, made);
    return made;
  }

  #runHot(request: RpcRequest): { args: Uint8Array; payload?: Uint8Array } {
    const object = decodeObjectRequest(request.args);
    this.#checkHandle(request.connection, object.handle);
    this.lastFlags = object.flags;
    this.#checkConditions(object);
    switch (request.opcode) {
      case Opcode.valueFetch: {
        const versions = this.#akey(object.oid, object.dkey, object.akey)?.versions ?? [];
        const visible = versions.findLast(({ epoch }) => object.epoch === 0 || epoch <= object.epoch);
        if (visible?.value === undefined) return { args: replyRecord(0, 0, 0, 0) };
        return { args: replyRecord(visible.epoch, visible.value.length, 0, ReplyFlag.found), payload: visible.value };
      }
      case Opcode.arrayRead:
        return this.#readArray(object);
      case Opcode.transactionStep:
        return { args: replyRecord(this.#takeStep(object, request.payload), 0, 0, ReplyFlag.found) };
      default:
        return { args: replyRecord(this.#write(request, object), 0, 0, ReplyFlag.found) };
    }
  }

  /** Knows punches of objects alone. */
  #takeStep({ oid, dkey, epoch }: ObjectRequest, payload: Uint8Array): number {
    const step = decodeTransactionStep(payload);
    if (step.kind === "prepare" && step.part.punchesUnder !== undefined) this.#punching.add(oid + dkey);
    else if (epoch !== 0 && this.#punching.delete(oid + dkey)) this.objects.delete(oid);
    return step.kind === "prepare" ? this.#nextEpoch() : epoch;
  }

  /** Runs a numbered request once. */
  #runOnce(request: RpcRequest): { args: Uint8Array; payload?: Uint8Array } {
    const { client, sequence } = decodeObjectRequest(request.args);
    const known = this.#answers.get(`${client}.${sequence}`);
    if (known !== undefined) return known;
    const answer = this.#runHot(request);
    if (sequence !== 0) this.#answers.set(`${client}.${sequence}`, answer);
    return answer;
  }

  #write(request: RpcRequest, object: ObjectRequest): number {
    const epoch = this.#nextEpoch();
    const dkeys = this.objects.get(object.oid);
    switch (request.opcode) {
      case Opcode.valueUpdate:
        this.#makeAkey(object).versions.push({ epoch, value: Uint8Array.from(request.payload) });
        break;
      case Opcode.akeyPunch:
        this.#akey(object.oid, object.dkey, object.akey)?.versions.push({ epoch, value: undefined });
        break;
      case Opcode.dkeyPunch:
        dkeys?.delete(object.dkey);
        break;
      case Opcode.objectPunch:
        this.objects.delete(object.oid);
        break;
      case Opcode.arrayWrite:
      case Opcode.arrayPunch:
        this.#writeArray(object, request.payload);
        break;
      default:
        throw new DaosError("UNSUPPORTED", `no operation ${request.opcode}`);
    }
    return epoch;
  }

  #checkConditions(object: ObjectRequest): void {
    const exists = this.#akey(object.oid, object.dkey, object.akey)?.versions.at(-1)?.value !== undefined;
    const objectExists = this.objects.has(object.oid);
    const dkeyExists = this.objects.get(object.oid)?.has(object.dkey) === true;
    const dkeyMissing = (object.flags & ObjectFlag.ifDkeyExists) !== 0 && !dkeyExists;
    const missing = (object.flags & ObjectFlag.ifAkeyExists) !== 0 && !exists;
    const objectMissing = (object.flags & ObjectFlag.ifObjectExists) !== 0 && !objectExists;
    if (missing || dkeyMissing || objectMissing) throw new DaosError("DOES_NOT_EXIST", "it is not there");
    if ((object.flags & ObjectFlag.ifAkeyAbsent) !== 0 && exists) throw new DaosError("ALREADY_EXISTS", "it is there");
    if ((object.flags & ObjectFlag.ifDkeyAbsent) === 0 || !dkeyExists) return;
    throw new DaosError("ALREADY_EXISTS", "its dkey is there");
  }

  /** An empty payload punches. The end is that of the bytes written, as it was before for a punch in the middle. */
  #writeArray(object: ObjectRequest, payload: Uint8Array): void {
    const akey = this.#makeAkey(object);
    const start = object.recordIndex * object.recordBytes;
    const length = object.recordCount * object.recordBytes;
    if (payload.length !== 0 && payload.length !== length) throw new DaosError("INVALID_ARGUMENT", "length");
    if (akey.bytes.length < start + length && payload.length > 0) {
      const larger = new Uint8Array(start + length);
      larger.set(akey.bytes);
      akey.bytes = larger;
    }
    akey.recordBytes = object.recordBytes;
    if (payload.length > 0) {
      akey.bytes.set(payload, start);
      akey.endBytes = Math.max(akey.endBytes, start + length);
    } else {
      akey.bytes.fill(0, start, start + length);
      if (start + length >= akey.endBytes) akey.endBytes = Math.min(akey.endBytes, start);
    }
  }

  #readArray(object: ObjectRequest): { args: Uint8Array; payload?: Uint8Array } {
    const akey = this.#akey(object.oid, object.dkey, object.akey);
    const start = object.recordIndex * object.recordBytes;
    const length = object.recordCount * object.recordBytes;
    if (akey === undefined || akey.endBytes <= start) return { args: replyRecord(0, 0, 0, 0) };
    const payload = new Uint8Array(length);
    payload.set(akey.bytes.subarray(start, start + length));
    return { args: replyRecord(1, length, object.recordBytes, ReplyFlag.found), payload };
  }

  #visible(akeys: Map<string, Akey>): string[] {
    const names = [...akeys].filter(([, akey]) => akey.endBytes > 0 || akey.versions.at(-1)?.value !== undefined);
    return names.map(([name]) => name);
  }

  #names(opcode: number, args: KeyListArguments): string[] {
    if (opcode === Opcode.objectList) return [...this.objects.keys()];
    const dkeys = this.objects.get(byteString(args.oid)) ?? new Map<string, Map<string, Akey>>();
    if (opcode === Opcode.akeyList) return this.#visible(dkeys.get(byteString(args.dkey!)) ?? new Map());
    return [...dkeys].filter(([, akeys]) => this.#visible(akeys).length > 0).map(([name]) => name);
  }

  /** Pages are short, and every other one is empty with an anchor, as after a scan whose time was up. */
  #list(opcode: number, args: KeyListArguments): object {
    const prefix = args.prefix === undefined ? "" : byteString(args.prefix);
    const after = args.after === undefined ? undefined : byteString(args.after);
    const matching = this.#names(opcode, args)
      .filter((name) => name.startsWith(prefix))
      .toSorted();
    const left = matching.filter((name) => after === undefined || name > after);
    if (left.length > 0 && after !== undefined && !after.endsWith("\0") && left[0]! > `${after}\0`) {
      return { keys: [], done: false, anchor: bytesOf(`${after}\0`) };
    }
    const keys = left.slice(0, Math.min(args.limit, PAGE_KEYS));
    return { keys: keys.map(bytesOf), done: keys.length === left.length };
  }

  #query(args: KeyQueryArguments): object {
    const dkeys = this.objects.get(byteString(args.oid)) ?? new Map<string, Map<string, Akey>>();
    const sign = args.direction === "max" ? -1 : 1;
    const names = args.dkey === undefined ? [...dkeys.keys()].toSorted() : [byteString(args.dkey)];
    if (sign < 0) names.reverse();
    for (const dkey of names) {
      const akey = args.akey === undefined ? undefined : dkeys.get(dkey)?.get(byteString(args.akey));
      if (args.levels.includes("extent")) {
        if (akey === undefined || akey.endBytes === 0) continue;
        const extent = { index: 0, count: akey.endBytes / akey.recordBytes };
        return { found: true, dkey: bytesOf(dkey), extent, recordBytes: akey.recordBytes };
      }
      if (dkeys.has(dkey)) return { found: true, dkey: bytesOf(dkey) };
    }
    return { found: false };
  }
}

function replyRecord(epoch: number, lengthBytes: number, recordBytes: number, flags: number): Uint8Array {
  const record = Buffer.alloc(OBJECT_REPLY_BYTES);
  encodeObjectReply(record, 0, { epoch: epoch as Epoch, lengthBytes, recordBytes, flags });
  return record;
}
