/**
 * The part of etcd's gRPC interface (API v3, etcd 3.4 and later) that the plugin speaks: messages with the numbers of
 * etcd's `rpc.proto`, `kv.proto` and `auth.proto`, and the methods. 64-bit numbers arrive as decimal text: ids of leases
 * use all bits.
 */
import protobuf from "protobufjs";

const SCHEMA = `
syntax = "proto3";
message ResponseHeader { int64 revision = 3; }
message KeyValue { bytes key = 1; int64 mod_revision = 3; bytes value = 5; }
message RangeRequest { bytes key = 1; bytes range_end = 2; int64 limit = 3; int64 revision = 4; bool keys_only = 8; }
message RangeResponse { ResponseHeader header = 1; repeated KeyValue kvs = 2; bool more = 3; }
message PutRequest { bytes key = 1; bytes value = 2; int64 lease = 3; }
message PutResponse { ResponseHeader header = 1; }
message DeleteRangeRequest { bytes key = 1; }
message DeleteRangeResponse { ResponseHeader header = 1; }
message RequestOp {
  oneof request {
    RangeRequest request_range = 1; PutRequest request_put = 2; DeleteRangeRequest request_delete_range = 3;
    TxnRequest request_txn = 4;
  }
}
message ResponseOp { oneof response { RangeResponse response_range = 1; } }
message Compare {
  enum Result { EQUAL = 0; GREATER = 1; LESS = 2; NOT_EQUAL = 3; }
  enum Target { VERSION = 0; CREATE = 1; MOD = 2; VALUE = 3; LEASE = 4; }
  Result result = 1;
  Target target = 2;
  bytes key = 3;
  oneof target_union { int64 mod_revision = 6; bytes value = 7; }
}
message TxnRequest { repeated Compare compare = 1; repeated RequestOp success = 2; repeated RequestOp failure = 3; }
message TxnResponse { ResponseHeader header = 1; bool succeeded = 2; repeated ResponseOp responses = 3; }
message WatchCreateRequest { bytes key = 1; bytes range_end = 2; int64 start_revision = 3; bool fragment = 8; }
message WatchRequest { oneof request_union { WatchCreateRequest create_request = 1; } }
message Event { enum Type { PUT = 0; DELETE = 1; } Type type = 1; KeyValue kv = 2; }
message WatchResponse {
  ResponseHeader header = 1; bool created = 3; bool canceled = 4; int64 compact_revision = 5; string cancel_reason = 6;
  bool fragment = 7; repeated Event events = 11;
}
message LeaseGrantRequest { int64 TTL = 1; int64 ID = 2; }
message LeaseGrantResponse { int64 ID = 2; }
message LeaseRevokeRequest { int64 ID = 1; }
message LeaseRevokeResponse { ResponseHeader header = 1; }
message LeaseKeepAliveRequest { int64 ID = 1; }
message LeaseKeepAliveResponse { int64 TTL = 3; }
message AuthenticateRequest { string name = 1; string password = 2; }
message AuthenticateResponse { string token = 2; }
`;

export interface KeyValue {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly modRevision: string;
}

export interface RangeRequest {
  readonly key: Uint8Array;
  readonly rangeEnd?: Uint8Array;
  readonly limit?: number;
  readonly revision?: number;
  readonly keysOnly?: boolean;
}

export type Compare = { readonly key: Uint8Array } & (
  | { readonly target: typeof TARGET_MOD; readonly modRevision: number }
  | { readonly target: typeof TARGET_VALUE; readonly value: Uint8Array }
);
export const TARGET_MOD = 2;
export const TARGET_VALUE = 3;

export type RequestOp =
  | { readonly requestRange: RangeRequest }
  | { readonly requestPut: { readonly key: Uint8Array; readonly value: Uint8Array; readonly lease?: string } }
  | { readonly requestDeleteRange: { readonly key: Uint8Array } }
  | { readonly requestTxn: { readonly success: readonly RequestOp[] } };

export interface TxnRequest {
  readonly compare: readonly Compare[];
  readonly success: readonly RequestOp[];
  readonly failure: readonly RequestOp[];
}

export interface RangeResponse {
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
}

export interface TxnResponse {
  readonly header: { readonly revision: string };
  readonly succeeded: boolean;
  readonly responses: readonly { readonly responseRange?: RangeResponse }[];
}

export interface WatchRequest {
  readonly createRequest: {
    readonly key: Uint8Array;
    readonly rangeEnd: Uint8Array;
    readonly startRevision: number;
    readonly fragment: boolean;
  };
}

export interface WatchResponse {
  readonly canceled: boolean;
  /** Not "0": the revisions to start from were compacted. */
  readonly compactRevision: string;
  readonly cancelReason: string;
  /** More of the same follows in the next message. */
  readonly fragment: boolean;
  readonly events: readonly { readonly type: number; readonly kv: KeyValue }[];
}
export const EVENT_DELETE = 1;

export interface Method<Request, Response> {
  readonly path: string;
  /** The request is the only one of a stream, the response the first. */
  readonly streams: boolean;
  readonly serialize: (request: Request) => Buffer;
  readonly deserialize: (bytes: Buffer) => Response;
}

const { root } = protobuf.parse(SCHEMA);
const DECODED = { longs: String, defaults: true, arrays: true };

function method<Request extends object, Response>(path: string, streams = false): Method<Request, Response> {
  const name = path.slice(path.indexOf("/") + 1);
  const request = root.lookupType(`${name}Request`);
  const response = root.lookupType(`${name}Response`);
  return {
    path: `/etcdserverpb.${path}`,
    streams,
    serialize: (message) => Buffer.from(request.encode(request.fromObject(message)).finish()),
    deserialize: (bytes) => response.toObject(response.decode(bytes), DECODED) as Response,
  };
}

export const TXN = method<TxnRequest, TxnResponse>("KV/Txn");
export const WATCH = method<WatchRequest, WatchResponse>("Watch/Watch", true);
export const LEASE_GRANT = method<{ TTL: number; ID: string }, { ID: string }>("Lease/LeaseGrant");
export const LEASE_REVOKE = method<{ ID: string }, object>("Lease/LeaseRevoke");
export const LEASE_KEEP_ALIVE = method<{ ID: string }, { TTL: string }>("Lease/LeaseKeepAlive", true);
export const AUTHENTICATE = method<{ name: string; password: string }, { token: string }>("Auth/Authenticate");
