/** Arguments and replies of the operations that look at a container in time; CBOR maps, as those of operations.ts. */
import type { Epoch } from "../base/epoch.ts";

export interface EpochQueryArguments {
  readonly handle: number;
}
export interface EpochQueryReply {
  readonly epoch: Epoch;
}
export interface ChangeListArguments {
  readonly handle: number;
  readonly fromEpoch: Epoch;
  readonly toEpoch: Epoch;
  readonly after?: Uint8Array;
  readonly limit: number;
}
export interface ChangeListReply {
  readonly changes: readonly {
    readonly change: "added" | "removed" | "changed";
    readonly oid: Uint8Array;
    readonly dkey: Uint8Array;
    readonly akey: Uint8Array;
  }[];
  readonly done: boolean;
  readonly anchor?: Uint8Array;
}
