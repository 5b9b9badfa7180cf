/**
 * Operations of a target that list and search: dkeys, akeys, extents, objects, key queries and changes between epochs.
 * Arguments and replies are CBOR maps (src/format/operations.ts); a page is bounded in keys and in time.
 */
import { byteString, bytesOf, type ByteString } from "../base/bytes.ts";
import { DaosError } from "../base/errors.ts";
import { type ObjectId, objectIdFromBytes } from "../base/object-id.ts";
import { decodeCbor, encodeCbor } from "../format/cbor.ts";
import type { ChangeListReply, EpochQueryReply } from "../format/history-operations.ts";
import { checkArguments } from "../format/operation-arguments.ts";
import {
  type ExtentListReply,
  type KeyListArguments,
  type KeyListReply,
  type KeyQueryReply,
  Opcode,
} from "../format/operations.ts";
import type { RpcRequest } from "../rpc/request.ts";
import type { DkeyFilter } from "../vos/enumeration.ts";
import type { Outcome } from "../vos/single-value.ts";
import type { VersionedObjects } from "../vos/versioned-objects.ts";

/** What to answer, once everything up to `sequence` is durable. */
export interface Enumerated extends Outcome {
  readonly reply: object;
}

/** The container behind a handle of the request's connection. */
export type ContainerOf = (handle: number) => number;

export class EnumerationService {
  readonly #objects: VersionedObjects;
  readonly #shown: (container: number) => DkeyFilter | undefined;

  /** `shown`: which dkeys of a container may be shown; undefined: all that lie here. */
  constructor(objects: VersionedObjects, shown: (container: number) => DkeyFilter | undefined) {
    this.#objects = objects;
    this.#shown = shown;
  }

  /** Rejects with the operation's DaosError; UNSUPPORTED for an opcode that is none of these. */
  async run(request: RpcRequest, containerOf: ContainerOf): Promise<Enumerated> {
    const args: unknown = decodeCbor(request.args);
    switch (request.opcode) {
      case Opcode.dkeyList:
      case Opcode.akeyList:
        return this.#listKeys(request.opcode, checkArguments(request.opcode, args), containerOf);
      case Opcode.extentList:
        return this.#listExtents(args, containerOf);
      case Opcode.objectList:
        return this.#listObjects(args, containerOf);
      case Opcode.keyQuery:
        return this.#queryKey(args, containerOf);
      case Opcode.changeList:
        return this.#listChanges(args, containerOf);
      case Opcode.epochQuery: {
        containerOf(checkArguments(request.opcode, args).handle);
        const reply: EpochQueryReply = { epoch: this.#objects.newEpoch() };
        return { reply, sequence: 0, error: undefined };
      }
      default:
        throw new DaosError(
          "UNSUPPORTED",
          `Cannot run operation ${request.opcode}: a target does not know it. Use a newer server.`,
        );
    }
  }

  async #listKeys(opcode: number, args: KeyListArguments, containerOf: ContainerOf): Promise<Enumerated> {
    const container = containerOf(args.handle);
    const page = {
      shown: this.#shown(container),
      oid: objectIdFromBytes(args.oid),
      limit: args.limit,
      epoch: args.epoch,
      ...(args.prefix === undefined ? {} : { prefix: byteString(args.prefix) }),
      ...(args.after === undefined ? {} : { after: byteString(args.after) }),
    };
    const keys =
      opcode === Opcode.dkeyList
        ? await this.#objects.listDkeys(container, page)
        : await this.#objects.listAkeys(container, { ...page, dkey: required(args.dkey, "list akeys", "dkey") });
    const reply: KeyListReply = { keys: keys.keys.map(bytesOf), done: keys.done, ...anchorOf(keys.anchor) };
    return { reply, sequence: keys.sequence, error: keys.error };
  }

  async #listExtents(raw: unknown, containerOf: ContainerOf): Promise<Enumerated> {
    const args = checkArguments(Opcode.extentList, raw);
    const page = await this.#objects.listExtents(containerOf(args.handle), {
      oid: objectIdFromBytes(args.oid),
      dkey: required(args.dkey, "list extents", "dkey"),
      akey: required(args.akey, "list extents", "akey"),
      from: args.from,
      to: args.to,
      limit: args.limit,
      epoch: args.epoch,
    });
    const reply: ExtentListReply = {
      extents: page.extents,
      recordBytes: page.recordBytes,
      done: page.done,
      ...(page.done ? {} : { next: page.next }),
    };
    return { reply, sequence: page.sequence, error: page.error };
  }

  async #listObjects(raw: unknown, containerOf: ContainerOf): Promise<Enumerated> {
    const args = checkArguments(Opcode.objectList, raw);
    const container = containerOf(args.handle);
    const page = await this.#objects.listObjects(container, {
      shown: this.#shown(container),
      limit: args.limit,
      epoch: args.epoch,
      ...(args.after === undefined ? {} : { after: byteString(args.after) }),
    });
    const reply: KeyListReply = { keys: page.objects.map(bytesOf), done: page.done, ...anchorOf(page.anchor) };
    return { reply, sequence: page.sequence, error: page.error };
  }

  async #queryKey(raw: unknown, containerOf: ContainerOf): Promise<Enumerated> {
    const args = checkArguments(Opcode.keyQuery, raw);
    const container = containerOf(args.handle);
    const outcome = await this.#objects.queryKey(container, {
      shown: this.#shown(container),
      oid: objectIdFromBytes(args.oid),
      direction: args.direction,
      levels: args.levels,
      epoch: args.epoch,
      within: args.within,
      ...(args.dkey === undefined ? {} : { dkey: byteString(args.dkey) }),
      ...(args.akey === undefined ? {} : { akey: byteString(args.akey) }),
    });
    const reply: KeyQueryReply = {
      found: outcome.found,
      ...(outcome.dkey === undefined ? {} : { dkey: bytesOf(outcome.dkey) }),
      ...(outcome.akey === undefined ? {} : { akey: bytesOf(outcome.akey) }),
      ...(outcome.extent === undefined ? {} : { extent: outcome.extent }),
      ...(outcome.recordBytes === undefined ? {} : { recordBytes: outcome.recordBytes }),
    };
    return { reply, sequence: outcome.sequence, error: outcome.error };
  }

  async #listChanges(raw: unknown, containerOf: ContainerOf): Promise<Enumerated> {
    const args = checkArguments(Opcode.changeList, raw);
    const container = containerOf(args.handle);
    const page = await this.#objects.listChanges(container, {
      shown: this.#shown(container),
      fromEpoch: args.fromEpoch,
      toEpoch: args.toEpoch,
      limit: args.limit,
      ...(args.after === undefined ? {} : { after: byteString(args.after) }),
    });
    const changes = page.changes.map(({ change, oid, dkey, akey }) => ({
      change,
      oid: bytesOf(oid as ObjectId),
      dkey: bytesOf(dkey),
      akey: bytesOf(akey),
    }));
    const reply: ChangeListReply = { changes, done: page.done, ...anchorOf(page.anchor) };
    return { reply, sequence: page.sequence, error: page.error };
  }
}

export function encodeEnumerated(enumerated: Enumerated): Uint8Array {
  return encodeCbor(enumerated.reply);
}

function anchorOf(anchor: ByteString | undefined): { anchor?: Uint8Array } {
  return anchor === undefined ? {} : { anchor: bytesOf(anchor) };
}

function required(key: Uint8Array | undefined, action: string, what: string): ByteString {
  if (key !== undefined) return byteString(key);
  throw new DaosError("INVALID_ARGUMENT", `Cannot ${action}: no ${what} given. Name the ${what} to look under.`);
}
