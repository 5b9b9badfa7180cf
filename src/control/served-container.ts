/** A container as its targets must know it, from its record. */
import { DEFAULT_ERASURE_CELL_BYTES } from "../base/limits.ts";
import type { ServedContainer } from "../format/engine-operations.ts";
import type { ContainerRecord } from "../format/meta-record.ts";

export function servedContainer({ number, properties }: ContainerRecord): ServedContainer {
  return { number, cellBytes: Number(properties["ec_cell_sz"] ?? DEFAULT_ERASURE_CELL_BYTES) };
}
