/** Clients that end in the middle of a transaction, and what is kept of it then. */
import type { RpcLink } from "../../src/client/rpc-link.ts";
import { Opcode } from "../../src/format/operations.ts";
import { decodeTransactionStep } from "../../src/format/transaction-part.ts";
import type { ScenarioRig } from "./scenario-rig.ts";
import { payloadBytes } from "../fixtures/payload-bytes.ts";

/** By then targets have asked about what a client left, and undone what nobody decided: milliseconds. */
export const LEFT_ALONE_MS = 12_000;

/** A client that ends, as far as the targets can tell, at a step of this kind: it and all later ones are never sent. */
export function endingAt(kind: "commit" | "resolve" | "forget"): (link: RpcLink) => RpcLink {
  let hasEnded = false;
  return (link) => ({
    get isClosed() {
      return link.isClosed;
    },
    call: (...call) => link.call(...call),
    abandon: (completion) => link.abandon(completion),
    close: () => link.close(),
    start: (opcode, length, encoder, payload, options, completion) => {
      if (opcode === Opcode.transactionStep && payload !== undefined) {
        hasEnded ||= decodeTransactionStep(payloadBytes(payload)).kind === kind;
        if (hasEnded) return;
      }
      link.start(opcode, length, encoder, payload, options, completion);
    },
  });
}

/** Locks and decisions that the targets keep. */
export function kept(rig: ScenarioRig): number {
  return rig.nodes.reduce((sum, { life }) => sum + (life?.objects.locks.size ?? 0), 0);
}
