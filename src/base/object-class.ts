/**
 * Object classes, by DAOS's names (src/include/daos_obj_class.h): how an object is protected and over how many
 * redundancy groups it spreads. `S4`: no redundancy, 4 groups; `SX`: as many as there are targets.
 */
import { DaosError } from "./errors.ts";

/** Numbers as stored in the object id's bits 48..55. */
export const REDUNDANCY = { none: 1 } as const;
export type Redundancy = keyof typeof REDUNDANCY;

/** Group count that means "every target of the pool map". */
export const GROUPS_MAX = 0xffff;

export interface ObjectClass {
  readonly name: string;
  readonly redundancy: Redundancy;
  /** Number of redundancy groups, 1..65534, or GROUPS_MAX. */
  readonly groupCount: number;
}

/** The group counts DAOS names for S classes. */
const GROUP_COUNTS = [1, 2, 4, 6, 8, 12, 16, 32];

export const OBJECT_CLASSES: readonly ObjectClass[] = [
  ...GROUP_COUNTS.map((groupCount) => ({ name: `S${groupCount}`, redundancy: "none" as const, groupCount })),
  { name: "SX", redundancy: "none", groupCount: GROUPS_MAX },
];

/** The class of this name, any case. Throws INVALID_ARGUMENT naming those there are. */
export function objectClassByName(name: string): ObjectClass {
  const found = OBJECT_CLASSES.find((candidate) => candidate.name === name.toUpperCase());
  if (found !== undefined) return found;
  const known = OBJECT_CLASSES.map((candidate) => candidate.name).join(", ");
  throw new DaosError("INVALID_ARGUMENT", `Cannot use object class "${name}": not known. Use one of ${known}.`);
}

/** The class of these numbers, as an object id carries them. Throws INVALID_ARGUMENT. */
export function objectClassByNumbers(redundancyNumber: number, groupCount: number): ObjectClass {
  if (redundancyNumber === REDUNDANCY.none && groupCount > 0) {
    const name = groupCount === GROUPS_MAX ? "SX" : `S${groupCount}`;
    return { name, redundancy: "none", groupCount };
  }
  throw new DaosError(
    "INVALID_ARGUMENT",
    `Cannot use object class ${redundancyNumber}/${groupCount}: not known. Create the id with an object class.`,
  );
}
