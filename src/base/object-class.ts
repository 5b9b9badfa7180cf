/**
 * Object classes, by DAOS's names (src/include/daos_obj_class.h): how an object is protected and over how many
 * redundancy groups it spreads. `S4`: no redundancy, 4 groups; `RP_3G1`: three copies in one group; `EC_4P2GX`: four data
 * and two parity shards a group, as many groups as the pool has room for.
 *
 * The table of redundancies is closed, for plugins serve its words; any group count from 1 to MAX_GROUP_COUNT may be named.
 */
import { DaosError } from "./errors.ts";

/** How a group is protected. */
export interface Redundancy {
  /** As stored in the object id's bits 48..55; DAOS's numbers. Never changes. */
  readonly number: number;
  readonly kind: "none" | "replica" | "erasure";
  /** What redundancy plugins serve: `none`, `RP_3`, `EC_4P2`. */
  readonly word: string;
  /** Shards that hold the data once. A replica has 1. */
  readonly dataShards: number;
  /** Shards beyond: copies or parity. */
  readonly parityShards: number;
  /** Both together: the shards of one group. */
  readonly shardCount: number;
  /** Shards of a group that may be lost without losing data. */
  readonly toleratedFailures: number;
}

/** Group count in an object id that means "as many as the pool map has room for". */
export const GROUPS_MAX = 0xffff;
export const MAX_GROUP_COUNT = GROUPS_MAX - 1;

export interface ObjectClass {
  readonly name: string;
  readonly redundancy: Redundancy;
  /** Number of redundancy groups, 1..MAX_GROUP_COUNT, or GROUPS_MAX. */
  readonly groupCount: number;
}

function redundancy(number: number, kind: Redundancy["kind"], word: string, data: number, parity: number): Redundancy {
  return {
    number,
    kind,
    word,
    dataShards: data,
    parityShards: parity,
    shardCount: data + parity,
    toleratedFailures: parity,
  };
}

export const REDUNDANCIES: readonly Redundancy[] = [
  redundancy(1, "none", "none", 1, 0),
  ...[2, 3, 4, 5, 6].map((copies) => redundancy(copies, "replica", `RP_${copies}`, 1, copies - 1)),
  redundancy(32, "erasure", "EC_2P1", 2, 1),
  redundancy(33, "erasure", "EC_2P2", 2, 2),
  redundancy(34, "erasure", "EC_4P1", 4, 1),
  redundancy(35, "erasure", "EC_4P2", 4, 2),
  redundancy(36, "erasure", "EC_4P3", 4, 3),
  redundancy(37, "erasure", "EC_8P1", 8, 1),
  redundancy(38, "erasure", "EC_8P2", 8, 2),
  redundancy(39, "erasure", "EC_8P3", 8, 3),
  redundancy(40, "erasure", "EC_16P1", 16, 1),
  redundancy(41, "erasure", "EC_16P2", 16, 2),
  redundancy(42, "erasure", "EC_16P3", 16, 3),
];
/** Numbers from here on are of erasure code. */
export const FIRST_ERASURE_NUMBER = 32;
const BY_NUMBER: readonly (Redundancy | undefined)[] = REDUNDANCIES.reduce<(Redundancy | undefined)[]>(
  (table, entry) => {
    table[entry.number] = entry;
    return table;
  },
  [],
);

/** `S4`, `SX`; `RP_3` or `EC_4P2`, then `G1` or `GX`. */
const NAME_PATTERN = /^(?:S|((?:RP|EC)_[0-9P]+)G)(X|[1-9][0-9]{0,4})$/;

/** The class of this name, any case. Throws INVALID_ARGUMENT naming those there are. */
export function objectClassByName(name: string): ObjectClass {
  const upper = name.toUpperCase();
  const match = NAME_PATTERN.exec(upper);
  if (match === null) {
    const bare = REDUNDANCIES.find(({ kind, word }) => kind !== "none" && word === upper)?.word;
    if (bare !== undefined) throw unknownClass(name, `it names no groups. Use ${bare}GX, or ${bare}G1 for one group.`);
    throw unknownClass(name, `not known. ${KNOWN_CLASSES}`);
  }
  const word = match[1] ?? "none";
  const found = REDUNDANCIES.find((candidate) => candidate.word === word);
  if (found === undefined) throw unknownClass(name, redundancyProblem(word));
  const groupCount = match[2] === "X" ? GROUPS_MAX : Number(match[2]);
  if (groupCount > MAX_GROUP_COUNT && match[2] !== "X") {
    throw unknownClass(
      name,
      `it has ${groupCount} groups. Use 1 to ${MAX_GROUP_COUNT}, or X for as many as there is room for.`,
    );
  }
  return classOf(found, groupCount);
}

/** The class of these numbers, as an object id carries them. Throws INVALID_ARGUMENT. */
export function objectClassByNumbers(redundancyNumber: number, groupCount: number): ObjectClass {
  const found = BY_NUMBER[redundancyNumber];
  if (found !== undefined && groupCount > 0) return classOf(found, groupCount);
  throw new DaosError(
    "INVALID_ARGUMENT",
    `Cannot use object class ${redundancyNumber}/${groupCount}: not known. Create the id with an object class.`,
  );
}

function classOf(found: Redundancy, groupCount: number): ObjectClass {
  const groups = groupCount === GROUPS_MAX ? "X" : String(groupCount);
  const name = found.kind === "none" ? `S${groups}` : `${found.word}G${groups}`;
  return { name, redundancy: found, groupCount };
}

const ERASURE_WORDS = REDUNDANCIES.filter(({ kind }) => kind === "erasure").map(({ word }) => word);
const KNOWN_CLASSES =
  `Use S<groups>, RP_2G<groups> to RP_6G<groups>, or one of ${ERASURE_WORDS.join(", ")} with G<groups>, ` +
  "where <groups> is 1, 2, 4, ... or X for as many as there is room for.";

/** Why there is no redundancy of this word, and which are near. */
function redundancyProblem(word: string): string {
  const numbers = /^EC_([0-9]+)P([0-9]+)$/.exec(word);
  if (numbers === null) {
    return word.startsWith("EC") ? `not known. ${KNOWN_CLASSES}` : "that many copies are not kept. Use RP_2 to RP_6.";
  }
  const [data, parity] = [Number(numbers[1]), Number(numbers[2])];
  const state =
    parity > data
      ? `${parity} parity shards are more than its ${data} data shards`
      : `there is no code of ${data} data and ${parity} parity shards`;
  return `${state}. Use one of ${ERASURE_WORDS.join(", ")}.`;
}

function unknownClass(name: string, state: string): DaosError {
  return new DaosError("INVALID_ARGUMENT", `Cannot use object class "${name}": ${state}`);
}
