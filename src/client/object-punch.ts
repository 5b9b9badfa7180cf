/**
 * The punch of an object that lies on several targets, or has redundancy, as a transaction: every leader of its dkeys keeps
 * all that it leads of the object from writers and readers, then the punch is decided, then they do it, at one epoch.
 */
import type { ByteString } from "../base/bytes.ts";
import { type Epoch, EPOCH_NONE } from "../base/epoch.ts";
import { missing } from "../base/object-refusals.ts";
import { isRedundant, type ObjectId } from "../base/object-id.ts";
import type { Placement } from "../placement/placement.ts";
import { dkeyOfEachLeader } from "../redundancy/leader-dkeys.ts";
import { DEFAULT_ATTEMPTS, untilNoConflict } from "./conflict-retry.ts";
import type { ContainerSession } from "./container-session.ts";
import { momentOf } from "./moment.ts";
import { type CommitPart, TransactionCommit } from "./transaction-commit.ts";

/** Whether one target, by itself, can punch the object. */
export function isPunchedByOne({ placement }: ContainerSession, oid: ObjectId): boolean {
  return !isPunchedByDkey(placement, oid) && placement.targetsOf(oid).length === 1;
}

/** Whether its leaders punch one dkey after the other: with redundancy, or while it moves to other targets. */
function isPunchedByDkey(placement: Placement, oid: ObjectId): boolean {
  return isRedundant(oid) || placement.layout(oid).next !== undefined;
}

/**
 * The parts of a transaction that punches an object; other parts have the dkeys that are `taken`. Where dkeys are punched one
 * after the other there is one more, without anything to do: the leaders have to know that the punch is decided before they begin, so it is decided
 * there.
 */
export function punchParts(placement: Placement, oid: ObjectId, taken: ReadonlySet<ByteString>): CommitPart[] {
  const common = { oid, reads: [], writes: [] };
  const punchesUnder = placement.mapVersion;
  const isSwept = isPunchedByDkey(placement, oid);
  const parts: CommitPart[] = dkeyOfEachLeader(placement, oid, taken).map((dkey) => ({
    ...common,
    dkey,
    punchesUnder,
    isSwept,
  }));
  if (!isSwept) return parts;
  const names = new Set([...taken, ...parts.map(({ dkey }) => dkey)]);
  return [{ ...common, dkey: unusedName(names) }, ...parts];
}

function unusedName(names: ReadonlySet<ByteString>): ByteString {
  for (let name = "punch"; ; name += "'") if (!names.has(name as ByteString)) return name as ByteString;
}

export interface AtomicPunch {
  readonly oid: ObjectId;
  readonly signal: AbortSignal | undefined;
  /** The punch is to fail with DOES_NOT_EXIST when there is nothing of the object. */
  readonly ifExists: boolean;
  /** A dkey of the object at a moment; undefined when it has none. */
  readonly someDkey: (epoch: Epoch) => Promise<ByteString | undefined>;
}

/** The epoch of the punch, which is done when this resolves. Rejects as a commit, and with DOES_NOT_EXIST. */
export function punchAtomically(session: ContainerSession, punch: AtomicPunch): Promise<Epoch> {
  const { oid, signal, ifExists, someDkey } = punch;
  return untilNoConflict(session, DEFAULT_ATTEMPTS, signal, async () => {
    const read: CommitPart[] = [];
    let snapshot: Epoch = EPOCH_NONE;
    if (ifExists) {
      snapshot = await momentOf(session, { oid, dkey: "" as ByteString }, signal);
      const dkey = await someDkey(snapshot);
      if (dkey === undefined) throw missing("object");
      read.push({ oid, dkey, reads: [{ kind: "akeys" }], writes: [] });
    }
    const parts = punchParts(session.placement, oid, new Set(read.map(({ dkey }) => dkey)));
    const commit = new TransactionCommit(session, snapshot, [...read, ...parts], signal);
    try {
      return await commit.run();
    } finally {
      await commit.settled;
    }
  });
}
