/**
 * The object class of who names none: from the redundancy factor, the data model, the expected size and the way of access,
 * as DAOS's dc_set_oclass (src/object/obj_class.c) chooses it, with the reasons in words.
 */
import { DaosError } from "../base/errors.ts";
import { KIB, MIB } from "../base/limits.ts";
import { type ObjectClass, objectClassByName } from "../base/object-class.ts";

export interface ClassWishes {
  /** Failures of fault domains to survive, 0..4. */
  readonly rdFac: number;
  /** `kv`: one flat map, `array`: a byte or record array, such as a file; `object`: keys of the caller's own. */
  readonly dataModel: "kv" | "array" | "object";
  /** Expected size of one object. */
  readonly sizeBytes?: number | undefined;
  /** How an array is mostly written; `sequential` unless given. */
  readonly access?: "random" | "sequential" | undefined;
  /** Fault domains of the pool. */
  readonly domains: number;
}

export interface ChosenClass {
  readonly objectClass: ObjectClass;
  /** Sentences, without the full stop. */
  readonly reasons: readonly string[];
}

/** Erasure codes by redundancy factor, widest first: data shards, and the least number of domains, which leaves spares. */
const CODES: Readonly<Record<number, readonly (readonly [dataShards: number, minDomains: number])[]>> = {
  1: [
    [16, 18],
    [8, 10],
    [4, 6],
    [2, 3],
  ],
  2: [
    [16, 20],
    [8, 12],
    [4, 8],
    [2, 4],
  ],
  3: [
    [16, 22],
    [8, 14],
    [4, 10],
  ],
};
const MAX_REDUNDANCY_FACTOR = 4;
/** What one data shard has of a stripe. Smaller writes are kept as replicas on all parity shards. */
const CELL_BYTES = 64 * KIB;
/** Up to here an array is one chunk, hence one dkey, which is in one group whatever their number. */
const ONE_GROUP_BYTES = 1 * MIB;

/** Throws INVALID_ARGUMENT when the factor is none, or there are too few domains for it. */
export function automaticClass(wishes: ClassWishes): ChosenClass {
  const { rdFac, domains } = wishes;
  if (!Number.isInteger(rdFac) || rdFac < 0 || rdFac > MAX_REDUNDANCY_FACTOR) {
    throw refused(rdFac, `not a whole number from 0 to ${MAX_REDUNDANCY_FACTOR}. Use one of these`);
  }
  if (domains < rdFac + 1) {
    throw refused(
      rdFac,
      `it needs ${rdFac + 1} fault domains, the pool has ${domains}. Add engines, or use a lower factor`,
    );
  }
  const groups = groupsOf(wishes);
  if (rdFac === 0) {
    const reasons = ["rd_fac 0: no failure has to be survived, so one copy", groups.reason];
    return { objectClass: objectClassByName(`S${groups.name}`), reasons };
  }
  const redundancy = redundancyOf(wishes);
  const reasons = [`rd_fac ${rdFac}: ${rdFac} of ${domains} fault domains may fail`, redundancy.reason, groups.reason];
  return { objectClass: objectClassByName(`${redundancy.word}G${groups.name}`), reasons };
}

function groupsOf({ dataModel, sizeBytes }: ClassWishes): { name: "1" | "X"; reason: string } {
  if (dataModel === "object")
    return { name: "1", reason: "an object of keys stays in one group, and many spread evenly" };
  if (sizeBytes !== undefined && sizeBytes <= ONE_GROUP_BYTES) {
    return { name: "1", reason: "that small, it has one chunk, which needs one group" };
  }
  const what = dataModel === "kv" ? "a flat map" : "an array";
  return { name: "X", reason: `${what} may grow large, so it spreads over all targets` };
}

function redundancyOf({ rdFac, dataModel, sizeBytes, access, domains }: ClassWishes): { word: string; reason: string } {
  const copies = `RP_${rdFac + 1}`;
  if (dataModel !== "array") return { word: copies, reason: "small values under keys are replicated, not encoded" };
  if (access === "random") {
    return { word: copies, reason: "random writes would be parts of stripes, which cost a replica and an encoding" };
  }
  const codes = (CODES[rdFac] ?? []).filter(([, minDomains]) => domains >= minDomains);
  const fitting = codes.filter(([dataShards]) => sizeBytes === undefined || sizeBytes >= dataShards * CELL_BYTES);
  const [code] = fitting;
  if (code !== undefined) {
    const [dataShards, minDomains] = code;
    const reason = `widest erasure code for ${domains} domains (it asks for ${minDomains}) with a full stripe`;
    return { word: `EC_${dataShards}P${rdFac}`, reason };
  }
  const reason =
    codes.length > 0 ? "it does not fill one stripe of an erasure code" : `no erasure code for ${domains} domains`;
  return { word: copies, reason };
}

function refused(rdFac: number, state: string): DaosError {
  return new DaosError("INVALID_ARGUMENT", `Cannot choose an object class for rd_fac ${rdFac}: ${state}.`);
}
