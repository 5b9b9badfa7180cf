/**
 * What an outcome rests on, as one number. Three kinds, told apart by their size:
 *
 *     0                          nothing that could be undone
 *     a sequence                 records up to it that may not be durable
 *     UNDECIDED + a sequence     the prepared record of that sequence, and whatever was appended before whenStable is asked
 *     SEVERAL + a number         several prepared records: the number finds them in a ring of sets
 *
 * A set that was overwritten in the ring is not known any more: whoever rests on it runs its operation again.
 */
const UNDECIDED = 2 ** 51;
const SEVERAL = 2 ** 52;
/** Sets that are remembered. */
const MAX_SETS = 16_384;
/** A set with more members is one that is not known any more. */
const MAX_MEMBERS = 4096;

interface SequenceSet {
  readonly token: number;
  readonly members: number[];
}

/** Shared by the stores of a thread: a set's members mean something to the store alone that is asked about it. */
const ring: (SequenceSet | undefined)[] = [];
let count = 0;

/** What rests on the prepared record of this sequence. */
export function undecidedSequence(sequence: number): number {
  return UNDECIDED + sequence;
}

/** True when an outcome rests on prepared records, not only on durability. */
export function isUndecided(stability: number): boolean {
  return stability >= UNDECIDED;
}

/** The prepared records that an outcome rests on; undefined when they are not known any more. */
export function undecidedMembers(stability: number): readonly number[] | undefined {
  if (stability < UNDECIDED) return [];
  if (stability < SEVERAL) return [stability - UNDECIDED];
  const found = ring[(stability - SEVERAL) % MAX_SETS];
  return found?.token === stability && found.members.length <= MAX_MEMBERS ? found.members : undefined;
}

/** What rests on all that `left` and `right` rest on. */
export function joinSequences(left: number, right: number): number {
  if (left < UNDECIDED || right < UNDECIDED || left === right) return left > right ? left : right;
  return joinUndecided(left, right);
}

function joinUndecided(left: number, right: number): number {
  const into = left >= SEVERAL ? left : right >= SEVERAL ? right : newSet(undecidedMembers(left)!);
  const from = undecidedMembers(into === left ? right : into === right ? left : right);
  const members = undecidedMembers(into);
  if (members === undefined || from === undefined) return SEVERAL;
  // A set may be held by others too: to rest on more than needed is safe.
  for (const member of from) if (!members.includes(member)) (members as number[]).push(member);
  return into;
}

function newSet(members: readonly number[]): number {
  count += 1;
  const token = SEVERAL + count;
  ring[count % MAX_SETS] = { token, members: [...members] };
  return token;
}
