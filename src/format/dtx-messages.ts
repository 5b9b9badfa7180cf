/**
 * What targets tell each other about transactions, besides `prepare` (prepare-request.ts). Ids travel as 16 bytes (u64
 * client, u64 sequence) in the payload; little-endian.
 *
 *   decide    arguments  u32 commits, u32 aborts, u32 forgets          payload  their ids, in this order
 *   refresh   no arguments                                             payload  ids
 *             reply                                                    payload  a DtxState each, one byte
 *   summary   CBOR (DtxSummaryArguments)
 *             reply: CBOR { summaries }, a DkeySummary each
 *   resync    CBOR (DtxResyncArguments)                                payload  ids
 *             reply: CBOR {}                                           payload  a DtxState for each id, then id and
 *                                                                               u64 epoch of each undecided one
 */
import type { DtxId } from "../base/dtx-id.ts";
import { asBuffer } from "../base/bytes.ts";
import { DaosError } from "../base/errors.ts";
import type { Epoch } from "../base/epoch.ts";
import { readUint64, writeUint64 } from "./uint64.ts";

const ID_BYTES = 16;
const OPEN_BYTES = 24;
export const DECIDE_ARGUMENTS_BYTES = 12;

/** What a target knows of a transaction. `unknown`: it never had it, or nobody needs it any more. */
export const DtxState = { unknown: 0, prepared: 1, committed: 2, aborted: 3 } as const;
export type DtxState = (typeof DtxState)[keyof typeof DtxState];

/** A target introduces itself to another one of a pool: `target` is its number in the pool map. */
export interface DtxAttachArguments {
  readonly capability: Uint8Array;
  readonly pool: string;
  readonly target: number;
}
/** Asks for what is open at a target of the groups that the asking one leads. */
export interface DtxResyncArguments {
  readonly pool: string;
}

/** Asks what a target shows of dkeys, summed up (src/vos/dkey-summary.ts). */
export interface DtxSummaryArguments {
  readonly container: number;
  /** Of the snapshots that the sender keeps. */
  readonly epochs: readonly Epoch[];
  readonly dkeys: readonly { readonly oid: Uint8Array; readonly dkey: Uint8Array }[];
}

export interface Decisions {
  readonly commits: readonly DtxId[];
  readonly aborts: readonly DtxId[];
  /** Everybody who took part knows these. */
  readonly forgets: readonly DtxId[];
}

/** A transaction that is not decided. */
export interface OpenDtx extends DtxId {
  readonly epoch: Epoch;
}

export function encodeIds(ids: readonly DtxId[]): Buffer {
  const bytes = Buffer.alloc(ID_BYTES * ids.length);
  for (let index = 0; index < ids.length; index += 1) writeId(bytes, ID_BYTES * index, ids[index]!);
  return bytes;
}

/** Throws INVALID_ARGUMENT. */
export function decodeIds(bytes: Uint8Array): DtxId[] {
  const view = asBuffer(bytes);
  if (view.length % ID_BYTES !== 0) throw malformed("its ids are cut off");
  return Array.from({ length: view.length / ID_BYTES }, (_unused, index) => readId(view, ID_BYTES * index));
}

export function encodeDecisions(decisions: Decisions): { args: Buffer; payload: Buffer } {
  const { commits, aborts, forgets } = decisions;
  const args = Buffer.alloc(DECIDE_ARGUMENTS_BYTES);
  args.writeUInt32LE(commits.length, 0);
  args.writeUInt32LE(aborts.length, 4);
  args.writeUInt32LE(forgets.length, 8);
  return { args, payload: encodeIds([...commits, ...aborts, ...forgets]) };
}

/** Throws INVALID_ARGUMENT. */
export function decodeDecisions(args: Uint8Array, payload: Uint8Array): Decisions {
  if (args.length !== DECIDE_ARGUMENTS_BYTES) throw malformed("its arguments have another size");
  const counts = asBuffer(args);
  const commits = counts.readUInt32LE(0);
  const aborts = counts.readUInt32LE(4);
  const ids = decodeIds(payload);
  if (commits + aborts + counts.readUInt32LE(8) !== ids.length) throw malformed("its counts do not add up");
  return {
    commits: ids.slice(0, commits),
    aborts: ids.slice(commits, commits + aborts),
    forgets: ids.slice(commits + aborts),
  };
}

export function encodeResyncReply(states: readonly DtxState[], open: readonly OpenDtx[]): Buffer {
  const bytes = Buffer.alloc(states.length + OPEN_BYTES * open.length);
  bytes.set(states);
  for (let index = 0; index < open.length; index += 1) {
    const start = states.length + OPEN_BYTES * index;
    writeId(bytes, start, open[index]!);
    writeUint64(bytes, open[index]!.epoch, start + ID_BYTES);
  }
  return bytes;
}

/** `count`: how many ids were asked for. Throws INVALID_ARGUMENT. */
export function decodeResyncReply(bytes: Uint8Array, count: number): { states: DtxState[]; open: OpenDtx[] } {
  const view = asBuffer(bytes);
  if (view.length < count || (view.length - count) % OPEN_BYTES !== 0) throw malformed("it is cut off");
  const open = Array.from({ length: (view.length - count) / OPEN_BYTES }, (_unused, index) => {
    const start = count + OPEN_BYTES * index;
    const epoch = readUint64(view, start + ID_BYTES);
    if (!Number.isSafeInteger(epoch)) throw malformed("an epoch is out of range");
    return { ...readId(view, start), epoch: epoch as Epoch };
  });
  return { states: decodeStates(view.subarray(0, count)), open };
}

/** Throws INVALID_ARGUMENT. */
export function decodeStates(bytes: Uint8Array): DtxState[] {
  return Array.from(bytes, (state) => {
    if (state > DtxState.aborted) throw malformed("a state is none");
    return state as DtxState;
  });
}

function writeId(into: Buffer, offset: number, id: DtxId): void {
  writeUint64(into, id.client, offset);
  writeUint64(into, id.sequence, offset + 8);
}

function readId(from: Buffer, offset: number): DtxId {
  const id = { client: readUint64(from, offset), sequence: readUint64(from, offset + 8) };
  if (Number.isSafeInteger(id.client) && Number.isSafeInteger(id.sequence)) return id;
  throw malformed("an id is out of range");
}

function malformed(what: string): DaosError {
  return new DaosError("INVALID_ARGUMENT", `Cannot read transaction message: ${what}.`);
}
