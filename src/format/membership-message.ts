/**
 * One datagram of the engines' failure detection (src/membership). Little-endian.
 *
 *      0  u32 magic "DSWM"    4  u8 version          5  u8 kind             6  u16 count of updates
 *      8  u16 rank of sender 10  u16 rank of receiver 12  u32 sequence
 *     16  u64 start of the sender, milliseconds since 1970                 24  u32 its refutations since
 *     28  u16 rank that a ping request, ack or nack is about               30  u16 zero
 *     32  16 bytes id of the system
 *     48  updates of 24 bytes: 0 u16 rank  2 u8 state  3 u8 count of accusers  4 u32 refutations  8 u64 start
 *                              16  4 x u16 rank of an accuser, zeros behind the last
 *      +  16 bytes: the first of HMAC-SHA-256 of all before, under the system's key
 *
 * A datagram is at most MAX_MEMBERSHIP_BYTES: it crosses an Ethernet in one piece. What is no datagram of this system, of
 * this version, whole and signed, is dropped without an answer. Nothing in it goes out of date by being sent again: of two
 * updates the later one wins whenever it comes, and acks are matched with the ping they answer.
 */
import { asBuffer, tagsEqual } from "../base/bytes.ts";
import { type Uuid, UUID_BYTES, writeUuid } from "../base/uuid.ts";
import { readUint64, writeUint64 } from "./uint64.ts";

const MAGIC = 0x4d575344;
const VERSION = 1;
const HEADER_BYTES = 48;
const SYSTEM_OFFSET = 32;
const UPDATE_BYTES = 24;
const ACCUSERS_OFFSET = 16;
const TAG_BYTES = 16;
export const MAX_MEMBERSHIP_BYTES = 1_400;
/** Updates that one datagram carries. */
export const MAX_MEMBER_UPDATES = Math.floor((MAX_MEMBERSHIP_BYTES - HEADER_BYTES - TAG_BYTES) / UPDATE_BYTES);
/** Accusers that an update names. */
export const MAX_ACCUSERS = 4;

/** What is said of a member; of the same start and refutations the higher one wins. `left`: it said farewell. */
export const MemberState = { alive: 0, suspect: 1, dead: 2, left: 3 } as const;
export type MemberState = (typeof MemberState)[keyof typeof MemberState];

/**
 * ping: answer with an ack. pingRequest: ping `subject`, answer with its ack, or with a nack when none comes. gossip: no
 * answer. sync: answer with a syncReply; both carry what their sender knows, and what they call dead is asked first.
 */
export const MembershipKind = {
  ping: 1,
  ack: 2,
  pingRequest: 3,
  nack: 4,
  gossip: 5,
  sync: 6,
  syncReply: 7,
} as const;
export type MembershipKind = (typeof MembershipKind)[keyof typeof MembershipKind];
const LAST_KIND = MembershipKind.syncReply;

/** One statement about a member. Never changed: may be shared. */
export interface MemberUpdate {
  readonly rank: number;
  /** When the engine was started: a later start wins over all that was said before. */
  readonly start: number;
  /** How often it has said that it lives when others doubted it, since its start. */
  readonly refutation: number;
  readonly state: MemberState;
  /** Of a suspect: who found by himself that it does not answer. At most MAX_ACCUSERS, no one twice. */
  readonly accusers: readonly number[];
}

export interface MembershipMessage {
  readonly kind: MembershipKind;
  readonly from: number;
  readonly to: number;
  /** Of the sender. */
  readonly start: number;
  readonly refutation: number;
  readonly sequence: number;
  readonly subject: number;
  /** At most MAX_MEMBER_UPDATES. */
  readonly updates: readonly MemberUpdate[];
}

/** HMAC-SHA-256 under the system's key, 32 bytes. */
export type MembershipSigner = (bytes: Uint8Array) => Uint8Array;

/** Size of the datagram with so many updates, bytes. */
export function membershipMessageBytes(updates: number): number {
  return HEADER_BYTES + updates * UPDATE_BYTES + TAG_BYTES;
}

export function encodeMembershipMessage(message: MembershipMessage, system: Uuid, sign: MembershipSigner): Buffer {
  const { kind, from, to, start, refutation, sequence, subject, updates } = message;
  const into = Buffer.alloc(membershipMessageBytes(updates.length));
  into.writeUInt32LE(MAGIC, 0);
  into[4] = VERSION;
  into[5] = kind;
  into.writeUInt16LE(updates.length, 6);
  into.writeUInt16LE(from, 8);
  into.writeUInt16LE(to, 10);
  into.writeUInt32LE(sequence, 12);
  writeUint64(into, start, 16);
  into.writeUInt32LE(refutation, 24);
  into.writeUInt16LE(subject, 28);
  writeUuid(into, SYSTEM_OFFSET, system);
  for (let index = 0; index < updates.length; index += 1) {
    encodeUpdate(into, HEADER_BYTES + index * UPDATE_BYTES, updates[index]!);
  }
  const signed = into.length - TAG_BYTES;
  into.set(sign(into.subarray(0, signed)).subarray(0, TAG_BYTES), signed);
  return into;
}

function encodeUpdate(into: Buffer, at: number, update: MemberUpdate): void {
  const { rank, state, accusers, refutation, start } = update;
  into.writeUInt16LE(rank, at);
  into[at + 2] = state;
  into[at + 3] = accusers.length;
  into.writeUInt32LE(refutation, at + 4);
  writeUint64(into, start, at + 8);
  for (let index = 0; index < accusers.length; index += 1) {
    into.writeUInt16LE(accusers[index]!, at + ACCUSERS_OFFSET + index * 2);
  }
}

/** Undefined when this is none, or not of this system: to be dropped. What is cheap is looked at before the signature. */
export function decodeMembershipMessage(
  bytes: Uint8Array,
  system: Uuid,
  sign: MembershipSigner,
): MembershipMessage | undefined {
  const view = asBuffer(bytes);
  if (view.length < membershipMessageBytes(0) || view.length > MAX_MEMBERSHIP_BYTES) return undefined;
  if (view.readUInt32LE(0) !== MAGIC || view[4] !== VERSION) return undefined;
  const count = view.readUInt16LE(6);
  if (view.length !== membershipMessageBytes(count) || !isOfSystem(view, system)) return undefined;
  const signed = view.length - TAG_BYTES;
  if (!tagsEqual(view.subarray(signed), sign(view.subarray(0, signed)).subarray(0, TAG_BYTES))) return undefined;
  const kind = view[5]!;
  const start = readStart(view, 16);
  if (kind < 1 || kind > LAST_KIND || view.readUInt16LE(30) !== 0 || start === undefined) return undefined;
  const updates: MemberUpdate[] = [];
  for (let index = 0; index < count; index += 1) {
    const update = decodeUpdate(view, HEADER_BYTES + index * UPDATE_BYTES);
    if (update === undefined) return undefined;
    updates.push(update);
  }
  return {
    kind: kind as MembershipKind,
    from: view.readUInt16LE(8),
    to: view.readUInt16LE(10),
    start,
    refutation: view.readUInt32LE(24),
    sequence: view.readUInt32LE(12),
    subject: view.readUInt16LE(28),
    updates,
  };
}

function decodeUpdate(view: Buffer, at: number): MemberUpdate | undefined {
  const state = view[at + 2]!;
  const count = view[at + 3]!;
  const start = readStart(view, at + 8);
  if (state > MemberState.left || count > MAX_ACCUSERS || start === undefined) return undefined;
  const accusers: number[] = [];
  for (let index = 0; index < MAX_ACCUSERS; index += 1) {
    const rank = view.readUInt16LE(at + ACCUSERS_OFFSET + index * 2);
    if (index >= count ? rank !== 0 : accusers.includes(rank)) return undefined;
    if (index < count) accusers.push(rank);
  }
  return {
    rank: view.readUInt16LE(at),
    start,
    refutation: view.readUInt32LE(at + 4),
    state: state as MemberState,
    accusers,
  };
}

/** Undefined unless it is a safe integer. */
function readStart(view: Buffer, at: number): number | undefined {
  return view.readUInt32LE(at + 4) < 0x20_0000 ? readUint64(view, at) : undefined;
}

const systemBytes = Buffer.alloc(UUID_BYTES);

function isOfSystem(view: Buffer, system: Uuid): boolean {
  writeUuid(systemBytes, 0, system);
  return systemBytes.equals(view.subarray(SYSTEM_OFFSET, SYSTEM_OFFSET + UUID_BYTES));
}
