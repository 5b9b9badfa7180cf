/**
 * What a target remembers of filling and being filled, in cells of the container's own, behind its snapshots: who has brought
 * all there was under which map, and which requests were completed elsewhere. M = FF 17 times, FF after it: no epoch of a
 * snapshot begins so.
 *
 *     C M "f" leader (u32)                   value, meta: type, u32 map version: it has brought all it had
 *     C M "d"                                the same: this target has brought all it leads
 *     C M "g"                                the same, at the epoch that the container's gate had passed when all that was
 *                                            filled before it could be read: it does not go back behind that
 *     C M "o"                                the same, at an epoch: no request that was completed elsewhere, and forgotten
 *                                            there, has a later one
 *     C M "r" client (u64) sequence (u64)    tombstone: it counts by its origin only
 *     FF FF FF FD "m" pool                   as "f": all targets of the pool went by this map at the latest;
 *                                            gone with the pool
 */
import type { ByteString } from "../base/bytes.ts";
import { EPOCH_MAX, EPOCH_NONE, type Epoch } from "../base/epoch.ts";
import type { CompletedElsewhere } from "../format/fill-message.ts";
import { type CellStore, type CellWrite, VersionKind } from "../store/cell.ts";
import { containerPrefix, snapshotStart, successor, TARGET_REGION } from "./cell-key.ts";
import { expectMeta, MetaType, NO_META } from "./cell-meta.ts";
import { durable } from "./durable.ts";
import type { TargetObjects } from "./target-objects.ts";

const META_BYTES = 5;
/** Of a record with one of these cells, more than enough. */
const RECORD_BYTES = 256;
const LEADER = "f";
const DONE = "d";
const REQUEST = "r";
const GATE = "g";
const FORGOTTEN = "o";

function markStart(container: string, tag: string): string {
  return `${snapshotStart(container)}\xff${tag}`;
}

function doneKey(container: number): ByteString {
  return markStart(containerPrefix(container), DONE) as ByteString;
}

function leaderKey(container: number, leader: number): ByteString {
  return (markStart(containerPrefix(container), LEADER) + numberText(leader, 4)) as ByteString;
}

function poolKey(pool: string): ByteString {
  return `${TARGET_REGION}m${pool}` as ByteString;
}

function gateKey(container: string): ByteString {
  return markStart(container, GATE) as ByteString;
}

/** The container's gate is not lower than this, as far as filling knows; 0: never noted. */
export function gatedTo(store: CellStore, container: string): Epoch {
  return store.get(gateKey(container), EPOCH_MAX)?.epoch ?? EPOCH_NONE;
}

function forgottenKey(container: string): ByteString {
  return markStart(container, FORGOTTEN) as ByteString;
}

/** No request that others have forgotten, who filled the container here, was completed after it; 0: there is none. */
export function forgottenTo(store: CellStore, container: string): Epoch {
  return store.get(forgottenKey(container), EPOCH_MAX)?.epoch ?? EPOCH_NONE;
}

/** Big-endian. */
function numberText(value: number, length: number): string {
  let text = "";
  let rest = value;
  for (let index = 0; index < length; index += 1) {
    text = String.fromCharCode(rest % 256) + text;
    rest = Math.floor(rest / 256);
  }
  return text;
}

/** The newest epoch at which something of the container was filled: older ones show snapshots only. 0: never. */
export function filledAt(store: CellStore, container: string): Epoch {
  const from = markStart(container, LEADER);
  let newest = 0 as Epoch;
  store.scan(from as ByteString, successor(from) as ByteString, EPOCH_MAX, (_key, { epoch }) => {
    if (epoch > newest) newest = epoch;
    return true;
  });
  return newest;
}

export class FillMarks {
  readonly #target: TargetObjects;

  constructor(target: TargetObjects) {
    this.#target = target;
  }

  /** Map version under which the leader has brought all it had; 0: none. */
  broughtBy(container: number, leader: number): number {
    return this.#version(leaderKey(container, leader));
  }

  /** Map version under which this target has brought all it leads; 0: none. */
  doneUnder(container: number): number {
    return this.#version(doneKey(container));
  }

  /** Map version by which all targets of the pool went at the latest; 0: none. */
  agreedUnder(pool: string): number {
    return this.#version(poolKey(pool));
  }

  #version(key: ByteString): number {
    const version = this.#target.store.get(key, EPOCH_MAX);
    if (version === undefined || version.kind === VersionKind.tombstone) return 0;
    expectMeta(version, MetaType.fillMark, META_BYTES);
    return Buffer.from(version.meta).readUInt32LE(1);
  }

  /** The leader has brought all it had under this map. From now on reads at older epochs are for snapshots only. */
  async noteBrought(container: number, leader: number, mapVersion: number): Promise<void> {
    const epoch = await this.#put(leaderKey(container, leader), mapVersion);
    this.#target.containers.noteFilled(container, epoch);
  }

  /** See gatedTo. */
  gatedTo(container: number): Epoch {
    return gatedTo(this.#target.store, containerPrefix(container));
  }

  /** The container's gate has come to this epoch. */
  async noteGated(container: number, epoch: Epoch): Promise<void> {
    await this.#put(gateKey(containerPrefix(container)), 0, epoch);
  }

  /** Whoever filled the container has forgotten requests up to this epoch. */
  async noteForgotten(container: number, epoch: Epoch): Promise<void> {
    const { store } = this.#target;
    const prefix = containerPrefix(container);
    if (epoch > forgottenTo(store, prefix)) await this.#put(forgottenKey(prefix), 0, epoch);
    store.requests.forget(epoch);
  }

  /** This target has brought all it leads. */
  async noteDone(container: number, mapVersion: number): Promise<void> {
    await this.#put(doneKey(container), mapVersion);
  }

  /** All targets of the pool go by this map, or a newer one. */
  async noteAgreed(pool: string, mapVersion: number): Promise<void> {
    await this.#put(poolKey(pool), mapVersion);
  }

  /** The pool is gone: nothing is left of it. Rejects as CellStore.admit. */
  async forgetPool(pool: string): Promise<void> {
    if (this.agreedUnder(pool) === 0) return;
    const { store, containers } = this.#target;
    await this.#target.admit(RECORD_BYTES, true);
    const [key, epoch] = [poolKey(pool), containers.writeEpoch()];
    await durable(store, store.append([{ key, epoch, kind: VersionKind.tombstone, meta: NO_META }]));
  }

  async #put(key: ByteString, mapVersion: number, at?: Epoch): Promise<Epoch> {
    const target = this.#target;
    await target.admit(RECORD_BYTES, false);
    const epoch = at ?? target.containers.writeEpoch();
    const meta = Buffer.alloc(META_BYTES);
    meta[0] = MetaType.fillMark;
    meta.writeUInt32LE(mapVersion, 1);
    const sequence = target.store.append([{ key, epoch, kind: VersionKind.value, meta, inline: new Uint8Array(0) }]);
    await durable(target.store, sequence);
    return epoch;
  }

  /** Remembers requests that this target took no part in, so that they are not run again when they are sent again. */
  async noteRequests(container: number, requests: readonly CompletedElsewhere[]): Promise<void> {
    const target = this.#target;
    const { store } = target;
    let sequence = 0;
    for (const origin of requests) {
      await target.admit(RECORD_BYTES, false);
      if (store.requests.completed(origin) !== undefined || store.transactions.stateOf(origin) !== undefined) continue;
      const name = numberText(origin.client, 8) + numberText(origin.sequence, 8);
      const key = (markStart(containerPrefix(container), REQUEST) + name) as ByteString;
      const write: CellWrite = { key, epoch: origin.epoch, kind: VersionKind.tombstone, meta: NO_META };
      const { client, sequence: number, firstIncomplete } = origin;
      sequence = store.append([write], undefined, { origin: { client, sequence: number }, firstIncomplete });
    }
    if (sequence > 0) await durable(store, sequence);
  }
}
