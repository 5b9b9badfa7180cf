/** A moment to read at. */
import type { DkeyPlace } from "../base/key-place.ts";
import type { Epoch } from "../base/epoch.ts";
import type { EpochQueryReply } from "../format/history-operations.ts";
import { Opcode } from "../format/operations.ts";
import type { ContainerSession } from "./container-session.ts";
import { decodeReply } from "./reply.ts";

/** The present, by the clock of a target that has the dkey. */
export function momentOf(session: ContainerSession, dkey: DkeyPlace, signal: AbortSignal | undefined): Promise<Epoch> {
  return session.read(
    Opcode.epochQuery,
    dkey,
    (handle) => ({ handle }),
    (answer) => decodeReply<EpochQueryReply>(answer.args, "epoch query", { epoch: "count" }).epoch,
    signal,
  );
}
