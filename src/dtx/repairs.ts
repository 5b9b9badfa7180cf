/**
 * Repair on one target: whoever comes upon damage names the dkey, and what of it is damaged here is looked for and mended: rows of
 * the index by themselves (row-check.ts), bytes on the device by what the other members have (extent-repair.ts). A target mends its
 * own; when an update has met damage its leader has all members look (`group`).
 *
 * What cannot be mended stays as it is, explicit: whoever reads it hears CORRUPT.
 */
import { asBuffer, type ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import type { Timers } from "../contracts/world.ts";
import type { DkeyPlace } from "../base/key-place.ts";
import { decodeObjectRequest, encodeObjectRequest, objectRequestBytes } from "../format/object-request.ts";
import { Opcode } from "../format/operations.ts";
import { decodeRepairReply, encodeRepairReply, type RepairCounts } from "../format/repair-reply.ts";
import type { RpcReply, RpcRequest } from "../rpc/request.ts";
import type { StoreChecks } from "../store/store-checks.ts";
import type { StoredExtent } from "../store/stored-extents.ts";
import { containerOf, ownCellKey, prefixEnd } from "../vos/cell-key.ts";
import { dkeyTransactions } from "../vos/transaction-cells.ts";
import { unitOf } from "./dkey-unit.ts";
import { type ExtentRepairParts, repairChunks } from "./extent-repair.ts";
import { isDamage } from "./fill-round.ts";
import type { PoolReplication } from "./pool-replication.ts";
import { akeyRequest } from "./sharded-akey.ts";

/** Dkeys that wait to be looked at; of more than these the scrubber, or the next who comes upon them, finds out. */
const MAX_WAITING = 1024;
/** A dkey of which something is left damaged is not looked at again before, milliseconds. */
const LOOK_AGAIN_MS = 1_000;
/** Others that cannot be reached are asked so often, after a pause that grows by so much, milliseconds. */
const ATTEMPTS = 4;
const RETRY_MS = 100;
const NO_PAYLOAD = new Uint8Array(0);

export interface RepairsOptions {
  readonly timers: Timers;
  readonly checks: StoreChecks;
  readonly poolOf: (container: number) => PoolReplication | undefined;
  /** Epochs of a container's snapshots, ascending. */
  readonly snapshots: (container: number) => readonly Epoch[];
  /** See ExtentRepairParts. */
  readonly shows: ExtentRepairParts["shows"];
  /** The prefix of a dkey's cells. */
  readonly prefixOf: (container: number, place: DkeyPlace) => string;
}

const NOTHING: RepairCounts = { damaged: 0, repaired: 0, lost: 0 };

export class Repairs {
  readonly #options: RepairsOptions;
  /** By dkey. */
  readonly #looking = new Map<string, Promise<RepairCounts>>();
  #last: Promise<unknown> = Promise.resolve();
  /** Places, since the target was started; `lost`: how often one was found that nobody has. */
  readonly counts = { damaged: 0, repaired: 0, lost: 0 };

  constructor(options: RepairsOptions) {
    this.#options = options;
  }

  /** Does work that reads what is stored of a dkey here; when that is damaged it is looked at, later. Rejects as the work. */
  async watch<Result>(container: number, place: DkeyPlace, work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      if (isDamage(error)) this.suspect(container, place);
      throw error;
    }
  }

  /** Something of the dkey was damaged here, or is on a medium that gave an error: has it looked at, later. */
  suspect(container: number, place: DkeyPlace): void {
    void this.dkey(container, place);
  }

  /** Looks at what reads have found damaged of a dkey here, and at its rows, and mends it; one dkey after the other. Never rejects. */
  dkey(container: number, { oid, dkey }: DkeyPlace): Promise<RepairCounts> {
    const name = unitOf({ container, object: { oid, dkey } });
    const known = this.#looking.get(name);
    if (known !== undefined) return known;
    if (this.#looking.size >= MAX_WAITING) return Promise.resolve(NOTHING);
    const looking = this.#last.then(() => this.#look(container, { oid, dkey }));
    this.#last = looking;
    this.#looking.set(name, looking);
    const forget = (): void => void this.#looking.delete(name);
    void looking.then(({ damaged, repaired }) => {
      if (damaged > repaired) this.#options.timers.after(LOOK_AGAIN_MS, forget);
      else forget();
    });
    return looking;
  }

  async #look(container: number, place: DkeyPlace): Promise<RepairCounts> {
    const prefix = this.#options.prefixOf(container, place);
    const counts = { ...NOTHING };
    const add = (more: RepairCounts): void => {
      counts.damaged += more.damaged;
      counts.repaired += more.repaired;
      counts.lost += more.lost;
    };
    try {
      add(await this.#rows(ownCellKey(prefix), prefixEnd(prefix)));
      const { from, to } = dkeyTransactions(prefix);
      add(await this.#rows(from, to));
      await this.#extents(prefix, add);
    } catch (error) {
      // It closes, or its medium takes nothing any more.
      if (!(error instanceof DaosError)) throw error;
    }
    return counts;
  }

  async #rows(from: ByteString, to: ByteString): Promise<RepairCounts> {
    const counts = { ...NOTHING };
    for (const table of ["cells", "history"] as const) {
      for (let at: ByteString | undefined = from; at !== undefined;) {
        const slice: Awaited<ReturnType<StoreChecks["rows"]>> = await this.#options.checks.rows({
          table,
          from: at,
          to,
        });
        counts.repaired += slice.mended.length;
        counts.lost += slice.damaged.length;
        at = slice.next;
      }
    }
    return this.noted({ ...counts, damaged: counts.repaired + counts.lost });
  }

  async #extents(prefix: string, add: (more: RepairCounts) => void): Promise<void> {
    const { checks } = this.#options;
    for (let from: ByteString | undefined = ownCellKey(prefix); from !== undefined;) {
      const slice = checks.extentsIn(from, prefixEnd(prefix));
      for (const stored of slice.extents) {
        const suspects = checks.suspects(stored.extent);
        if (suspects.length === 0) continue;
        const damaged = await checks.damaged(stored, suspects);
        if (damaged.length > 0) add(await this.extent(stored, damaged));
      }
      from = slice.next;
    }
  }

  /** Mends chunks of an extent that were found damaged. Rejects as StoreChecks. */
  async extent(stored: StoredExtent, chunks: readonly number[]): Promise<RepairCounts> {
    const { checks, poolOf, snapshots, shows } = this.#options;
    const container = containerOf(stored.key);
    const parts = { checks, pool: poolOf(container), snapshots: snapshots(container), shows };
    let counts = await repairChunks(parts, stored, chunks);
    for (let attempt = 1; counts.postponed > 0 && attempt < ATTEMPTS; attempt += 1) {
      // A connection that nobody needed yet takes a moment.
      await new Promise<void>((resolve) => void this.#options.timers.after(attempt * RETRY_MS, resolve));
      const { repaired } = counts;
      const left = await checks.damaged(stored, chunks);
      counts = await repairChunks(parts, stored, left);
      counts = { ...counts, repaired: counts.repaired + repaired };
    }
    return this.noted({ damaged: chunks.length, repaired: counts.repaired, lost: counts.lost });
  }

  /** Counts it. */
  noted(counts: RepairCounts): RepairCounts {
    this.counts.damaged += counts.damaged;
    this.counts.repaired += counts.repaired;
    this.counts.lost += counts.lost;
    return counts;
  }

  /** Has all members of a dkey's group look; what they and this target found. Never rejects. */
  async group(container: number, place: DkeyPlace): Promise<RepairCounts> {
    const pool = this.#options.poolOf(container);
    const members = pool?.groups.groupOf(place.oid, place.dkey).readable ?? [];
    const others = members.filter((member) => member !== pool?.self);
    const all = await Promise.all([
      this.dkey(container, place),
      ...others.map((member) => this.#ask(pool!, member, container, place)),
    ]);
    return all.reduce((sum, counts) => ({
      damaged: sum.damaged + counts.damaged,
      repaired: sum.repaired + counts.repaired,
      lost: sum.lost + counts.lost,
    }));
  }

  async #ask(pool: PoolReplication, member: number, container: number, place: DkeyPlace): Promise<RepairCounts> {
    const request = { ...akeyRequest({ ...place, akey: "" as ByteString }), handle: container };
    const args = Buffer.alloc(objectRequestBytes(request));
    encodeObjectRequest(args, 0, request);
    try {
      const answer = await pool.call(member, Opcode.dtxRepair, args, NO_PAYLOAD);
      return decodeRepairReply(asBuffer(answer.args));
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      return NOTHING;
    }
  }

  /** Serves `dtxRepair` of a leader. */
  serve(request: RpcRequest, reply: RpcReply): void {
    const { handle, oid, dkey } = decodeObjectRequest(request.bytes, request.argumentsStart, request.argumentsLength);
    void this.dkey(handle, { oid, dkey }).then((counts) => reply.send(encodeRepairReply(counts)));
  }
}
