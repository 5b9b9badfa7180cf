/**
 * Backups of the records while the system runs: all of them as they are at one moment, handed over in pieces. One backup is
 * kept, until it was handed over, another one is made, or nobody has asked for a minute.
 */
import { DaosError } from "../base/errors.ts";
import { MAX_BACKUP_BYTES } from "../base/limits.ts";
import type { Clock } from "../contracts/world.ts";
import { encodeMetaBackup } from "../format/meta-backup.ts";
import { LEADER_KEY } from "../format/meta-key.ts";
import type { SystemBackupArguments, SystemBackupReply } from "../format/system-operations.ts";
import type { MetaRecords } from "./meta-records.ts";

const PIECE_BYTES = 128 * 1024;
const KEPT_MS = 60_000;

export interface SystemBackupParts {
  readonly records: MetaRecords;
  readonly clock: Clock;
  readonly system: { readonly id: string; readonly name: string };
  readonly software: string;
}

interface Kept {
  readonly id: number;
  readonly bytes: Uint8Array;
  readonly records: number;
  readonly takenAtMs: number;
  askedMs: number;
}

export class SystemBackup {
  readonly #parts: SystemBackupParts;
  #kept: Kept | undefined;
  #lastId = 0;

  constructor(parts: SystemBackupParts) {
    this.#parts = parts;
  }

  /** Without `id` a new one, from its beginning. Rejects with TOO_LARGE, NOT_FOUND (it is not kept any more: begin anew). */
  async read({ id, offset = 0 }: SystemBackupArguments): Promise<SystemBackupReply> {
    const nowMs = this.#parts.clock.monotonicNs() / 1e6;
    if (this.#kept !== undefined && nowMs - this.#kept.askedMs > KEPT_MS) this.#kept = undefined;
    const kept = id === undefined ? await this.#take(nowMs) : this.#kept;
    if (kept === undefined || (id !== undefined && kept.id !== id)) {
      throw new DaosError("NOT_FOUND", "Cannot go on with the backup: it is not kept any more. Make another one.");
    }
    kept.askedMs = nowMs;
    const bytes = kept.bytes.subarray(offset, offset + PIECE_BYTES);
    if (offset + bytes.length >= kept.bytes.length && this.#kept === kept) this.#kept = undefined;
    const { records, takenAtMs } = kept;
    return { id: kept.id, sizeBytes: kept.bytes.length, records, takenAtMs, bytes };
  }

  async #take(nowMs: number): Promise<Kept> {
    const { records: store, clock, system, software } = this.#parts;
    const takenAtMs = clock.wallMs();
    const entries = await store.snapshot(MAX_BACKUP_BYTES);
    if (entries === undefined) {
      const state = `its records have more than ${MAX_BACKUP_BYTES} bytes`;
      const advice = "Stop the engines and copy the folder `meta`, or use etcd's snapshots";
      throw new DaosError("TOO_LARGE", `Cannot back system "${system.name}" up: ${state}. ${advice}.`);
    }
    const records = entries.filter(({ key }) => key !== LEADER_KEY);
    const header = { system: system.id, name: system.name, takenAtMs, software };
    this.#lastId += 1;
    const bytes = encodeMetaBackup({ header, records });
    this.#kept = { id: this.#lastId, bytes, records: records.length, takenAtMs, askedMs: nowMs };
    return this.#kept;
  }
}
