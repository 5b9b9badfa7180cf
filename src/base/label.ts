/**
 * Labels: the names people give to pools, containers and snapshots. DAOS's rule: 1 to 127 of [A-Za-z0-9:._-], and
 * nothing that looks like a UUID, so that a reference is either the one or the other.
 */
import { DaosError } from "./errors.ts";
import { MAX_LABEL_BYTES } from "./limits.ts";
import { parseUuid } from "./uuid.ts";

/** The characters of a label. */
export const labelPattern = /^[A-Za-z0-9:._-]+$/;

/** Returns `label` when it is one. Throws INVALID_ARGUMENT; `noun` is what it would name, such as `pool`. */
export function checkLabel(noun: string, label: string): string {
  const problem = labelProblem(label);
  if (problem === undefined) return label;
  const shown = label.length > MAX_LABEL_BYTES ? `${label.slice(0, 32)}...` : label;
  throw new DaosError("INVALID_ARGUMENT", `Cannot use ${noun} label "${shown}": ${problem}.`);
}

function labelProblem(label: string): string | undefined {
  if (label.length === 0) return "it is empty. Give it a name";
  if (label.length > MAX_LABEL_BYTES) return `it has ${label.length} characters. Use at most ${MAX_LABEL_BYTES}`;
  if (!labelPattern.test(label)) return "it has other characters than A-Z a-z 0-9 : . _ -. Leave them out";
  if (parseUuid(label) !== undefined) return "it looks like a UUID. Choose a name";
  return undefined;
}
