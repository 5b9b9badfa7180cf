/**
 * What clients have staged at this target: bytes of updates of redundant objects that lie on the device, named by no record
 * yet. Bounded for each connection in bytes, in number and in time. An entry ends when its update takes it, when it expires,
 * when its client has its answer some other way, or with its connection. A crash ends all, as no record names them.
 */
import type { DtxId } from "../base/dtx-id.ts";
import { DaosError } from "../base/errors.ts";
import { MAX_CONNECTION_STAGED_BYTES, MAX_CONNECTION_STAGED_PAYLOADS, STAGED_LIFETIME_MS } from "../base/limits.ts";
import type { Timers } from "../contracts/world.ts";
import type { ObjectRequest } from "../format/object-request.ts";
import { Opcode } from "../format/operations.ts";
import type { PreparedPart } from "../format/prepare-request.ts";
import type { StagedShard } from "../format/staged-payload.ts";
import type { RpcPeer } from "../rpc/request.ts";
import { DtxMap } from "../store/dtx-map.ts";
import type { StagedWrite } from "../vos/staged-write.ts";

/** The update that something is staged for. */
export interface StagedFor {
  readonly container: number;
  /** Of the update. */
  readonly opcode: number;
  readonly object: Readonly<ObjectRequest>;
  /** What this shard does, of erasure code. */
  readonly parts: readonly PreparedPart[] | undefined;
  readonly shard: StagedShard;
}

interface Entry extends StagedFor {
  readonly id: DtxId;
  readonly write: StagedWrite;
  readonly place: StagingPlace;
  isOld: boolean;
}

/** What one connection has staged. */
class StagingPlace {
  lengthBytes = 0;
  /** Also of what is still being stored. */
  count = 0;
  readonly entries = new Set<Entry>();
}

export class Staging {
  readonly #timers: Timers;
  readonly #byId = new DtxMap<Entry>();
  readonly #places = new Map<RpcPeer, StagingPlace>();
  #cancelSweep: (() => void) | undefined;

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  /** Payloads that wait for their updates. */
  get size(): number {
    return this.#byId.size;
  }

  /**
   * Keeps what `store` puts on the device until its update comes. Rejects with OVERLOADED when the connection has too much
   * staged, UNAVAILABLE when it is lost meanwhile, and as `store` does.
   */
  async keep(connection: RpcPeer, update: StagedFor, store: () => Promise<StagedWrite>): Promise<void> {
    if (connection.isClosed) throw connectionLost();
    const { client, sequence, firstIncomplete } = update.object;
    const { lengthBytes } = update.shard;
    const place = this.#placeOf(connection);
    for (const entry of place.entries) {
      if (entry.id.client === client && entry.id.sequence < firstIncomplete) this.#abandon(entry);
    }
    const isFull = place.lengthBytes + lengthBytes > MAX_CONNECTION_STAGED_BYTES;
    if (isFull || place.count >= MAX_CONNECTION_STAGED_PAYLOADS) throw full(place);
    place.lengthBytes += lengthBytes;
    place.count += 1;
    let write: StagedWrite | undefined;
    try {
      write = await store();
    } finally {
      if (write === undefined) release(place, lengthBytes);
    }
    if (connection.isClosed) {
      write.abandon();
      throw connectionLost();
    }
    const id = { client, sequence };
    this.drop(id);
    const entry: Entry = { ...update, id, write, place, isOld: false };
    this.#byId.add(id, entry);
    place.entries.add(entry);
    this.#cancelSweep ??= this.#timers.after(STAGED_LIFETIME_MS, () => this.#sweep());
  }

  /** Gives what was staged for this update, once. Throws NOT_STAGED when it is not there, or is something else. */
  take(id: DtxId, update: StagedFor): StagedWrite {
    const entry = this.#byId.get(id);
    if (entry === undefined) throw notStaged("nothing of it is here");
    if (!isFor(entry, update)) {
      this.#abandon(entry);
      throw notStaged("something else is here under its number");
    }
    this.#remove(entry);
    return entry.write;
  }

  /** The update comes otherwise, or not at all. */
  drop(id: DtxId): void {
    const entry = this.#byId.get(id);
    if (entry !== undefined) this.#abandon(entry);
  }

  connectionClosed(connection: RpcPeer): void {
    const place = this.#places.get(connection);
    if (place === undefined) return;
    this.#places.delete(connection);
    for (const entry of place.entries) this.#abandon(entry);
  }

  stop(): void {
    this.#cancelSweep?.();
    for (const entry of this.#byId.values()) this.#abandon(entry);
  }

  #placeOf(connection: RpcPeer): StagingPlace {
    let place = this.#places.get(connection);
    if (place === undefined) this.#places.set(connection, (place = new StagingPlace()));
    return place;
  }

  #sweep(): void {
    for (const entry of this.#byId.values()) {
      if (entry.isOld) this.#abandon(entry);
      else entry.isOld = true;
    }
    const isEmpty = this.#byId.size === 0;
    this.#cancelSweep = isEmpty ? undefined : this.#timers.after(STAGED_LIFETIME_MS, () => this.#sweep());
  }

  #abandon(entry: Entry): void {
    this.#remove(entry);
    entry.write.abandon();
  }

  #remove(entry: Entry): void {
    this.#byId.delete(entry.id);
    entry.place.entries.delete(entry);
    release(entry.place, entry.shard.lengthBytes);
  }
}

function release(place: StagingPlace, lengthBytes: number): void {
  place.lengthBytes -= lengthBytes;
  place.count -= 1;
}

/** Whether what is staged is what the update wants. */
function isFor(entry: StagedFor, update: StagedFor): boolean {
  const { object, shard } = entry;
  const other = update.object;
  return (
    entry.container === update.container &&
    entry.opcode === update.opcode &&
    object.oid === other.oid &&
    object.dkey === other.dkey &&
    object.akey === other.akey &&
    (entry.opcode === Opcode.valueUpdate || isSameRange(object, other)) &&
    shard.lengthBytes === update.shard.lengthBytes &&
    shard.checksum === update.shard.checksum &&
    areSameParts(entry.parts, update.parts)
  );
}

function isSameRange(left: Readonly<ObjectRequest>, right: Readonly<ObjectRequest>): boolean {
  return (
    left.recordIndex === right.recordIndex &&
    left.recordCount === right.recordCount &&
    left.recordBytes === right.recordBytes
  );
}

function areSameParts(left: StagedFor["parts"], right: StagedFor["parts"]): boolean {
  if (left === undefined || right === undefined) return left === right;
  if (left.length !== right.length) return false;
  return left.every((part, index) => {
    const other = right[index]!;
    return part.kind === other.kind && part.address === other.address && part.length === other.length;
  });
}

function connectionLost(): DaosError {
  return new DaosError("UNAVAILABLE", "Cannot stage the bytes: the connection is lost. Send them again.");
}

function full({ lengthBytes, count }: StagingPlace): DaosError {
  const state = `the connection has ${count} payloads of ${lengthBytes} bytes staged`;
  return new DaosError("OVERLOADED", `Cannot stage the bytes: ${state}. Send the updates.`);
}

function notStaged(state: string): DaosError {
  return new DaosError(
    "NOT_STAGED",
    `Cannot make the update of what was staged: ${state}. Send the bytes with the update.`,
  );
}
