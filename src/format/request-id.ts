/**
 * The id of a management request that changes records: the member `request` of its arguments. It lets the request be sent
 * again until its answer comes, to whichever engine leads then, and take effect once (docs/protocol.md). As object requests
 * have it (object-request.ts), and on the way through an engine that forwards it is not touched.
 */
import { z } from "zod";
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";

export interface RequestId {
  /** Random, from 1. */
  readonly client: number;
  /** 1, 2, 3, ... of the client. */
  readonly sequence: number;
  /** The least number whose answer the client still waits for. */
  readonly firstIncomplete: number;
  /** The client's clock when it gave the number. */
  readonly issued: Epoch;
}

const count = z.int().min(1);
const schema = z
  .object({ client: count, sequence: count, firstIncomplete: count, issued: z.int().nonnegative() })
  .refine(({ sequence, firstIncomplete }) => firstIncomplete <= sequence);

/** Undefined when the arguments have none: the request is not to be sent again. Throws INVALID_ARGUMENT. */
export function requestIdOf(args: unknown): RequestId | undefined {
  const given: unknown = typeof args === "object" && args !== null && "request" in args ? args.request : undefined;
  if (given === undefined) return undefined;
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data as RequestId;
  throw new DaosError("INVALID_ARGUMENT", 'Cannot run the request: "request" is no id of one. Correct the request.');
}
