/**
 * Arguments that many commands share: which pool, which container, and at which moment a read looks at it.
 */
import type { Epoch } from "../base/epoch.ts";
import { epochArgument, usageError } from "./arguments.ts";

export const POOL_ARGUMENT = { type: "positional", required: true, description: "Label or id of the pool" } as const;

export const CONTAINER_ARGUMENT = {
  type: "positional",
  required: true,
  description: "Label or id of the container",
} as const;

/** Flags of what reads data. */
export const MOMENT_ARGUMENTS = {
  snapshot: { type: "string", valueHint: "NAME", description: "Read as it was at this snapshot" },
  epoch: {
    type: "string",
    valueHint: "EPOCH",
    description: "Read as it was at this epoch, which a snapshot must keep",
  },
} as const;

/** The snapshot's name, the epoch, or undefined for the latest state. Throws CONFIGURATION when both are given. */
export function momentArgument(
  line: string,
  values: { readonly snapshot: string | undefined; readonly epoch: string | undefined },
): string | Epoch | undefined {
  if (values.snapshot !== undefined && values.epoch !== undefined) {
    throw usageError(line, "--snapshot and --epoch exclude each other");
  }
  return values.epoch === undefined ? values.snapshot : epochArgument("--epoch", values.epoch);
}
