/**
 * What a failed call means. etcd answers with a gRPC status and a fixed text (`api/v3rpc/rpctypes/error.go`); the text is
 * the only thing that tells some of them apart.
 */
import { status, type StatusObject } from "@grpc/grpc-js";
import type { ErrorCode } from "../../../src/base/errors.ts";

/**
 * - `unsent`: nothing reached a member. Another may take it.
 * - `unknown`: the member may have taken the request, now or later.
 * - `busy`: refused before it was taken, for now.
 * - `token`: refused because the member does not know our token (any more).
 * - `final`: refused, and will be again.
 */
export type Failure = { readonly state: string } & (
  | { readonly kind: "unsent"; readonly isTls: boolean }
  | { readonly kind: "unknown" | "busy" | "token" }
  | { readonly kind: "final"; readonly code: ErrorCode; readonly advice: string }
);

type Refusal = readonly [text: string, code: ErrorCode, advice: string];

const REFUSALS: readonly Refusal[] = [
  [
    "database space exceeded",
    "NO_SPACE",
    "Compact and defragment it, or raise --quota-backend-bytes, then run `etcdctl alarm disarm`",
  ],
  ["requested lease not found", "NOT_FOUND", "Grant another lease"],
  ["lease already exists", "ALREADY_EXISTS", "Grant another lease"],
  ["revision has been compacted", "EPOCH_AGGREGATED", "Read again"],
  ["request is too large", "TOO_LARGE", "Raise etcd's --max-request-bytes to its default or more"],
  ["too many operations", "TOO_LARGE", "Raise etcd's --max-txn-ops to its default or more"],
  ["permission denied", "PERMISSION", "Grant the user's role read and write of the prefix"],
  ["authentication failed", "PERMISSION", "Check user and password_file"],
  ["user name is empty", "PERMISSION", "It asks for a user: set user and password_file"],
  ["corrupt cluster", "CORRUPT", "Restore etcd from its snapshot"],
];

/** Client-side texts of grpc-js for a call that found no connection. */
const UNSENT = /^(No connection established|Name resolution failed)/;
const TLS_TROUBLE = /certificate|self.signed|altname|\bTLS\b|\bSSL\b|ERR_TLS|CERT_|alert/i;
const TOKEN_REFUSED = /invalid auth token|revision of auth store is old/;
const NEVER_TAKEN: ReadonlySet<number> = new Set([
  status.INVALID_ARGUMENT,
  status.NOT_FOUND,
  status.ALREADY_EXISTS,
  status.PERMISSION_DENIED,
  status.FAILED_PRECONDITION,
  status.OUT_OF_RANGE,
  status.UNAUTHENTICATED,
]);

export function failureOf({ code, details }: Pick<StatusObject, "code" | "details">): Failure {
  const state = details.replace(/\s*Resolution note:\s*$/, "").replace(/\.$/, "");
  if (code === status.UNAVAILABLE && UNSENT.test(details))
    return { kind: "unsent", state, isTls: TLS_TROUBLE.test(details) };
  if (TOKEN_REFUSED.test(details)) return { kind: "token", state };
  if (details.includes("too many requests")) return { kind: "busy", state };
  const refusal = REFUSALS.find(([text]) => details.includes(text));
  if (refusal !== undefined) return { kind: "final", state, code: refusal[1], advice: refusal[2] };
  if (code === status.UNIMPLEMENTED) {
    return { kind: "final", state, code: "UNSUPPORTED", advice: "Name endpoints of an etcd of release 3.4 or later" };
  }
  if (code === status.RESOURCE_EXHAUSTED) return { kind: "final", state, code: "TOO_LARGE", advice: "Ask for less" };
  if (NEVER_TAKEN.has(code)) return { kind: "final", state, code: "IO", advice: "Look at etcd's log" };
  return { kind: "unknown", state };
}
