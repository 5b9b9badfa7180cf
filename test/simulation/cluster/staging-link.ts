/**
 * A client's connection on which staging ends badly now and then: it is lost, and what was staged with it, just before the
 * update that names it is sent; or the update takes its time, so that crashes, new maps and expiries come between the two.
 */
import type { RpcLink } from "../../../src/client/rpc-link.ts";
import { Opcode } from "../../../src/format/operations.ts";
import type { RpcCompletion } from "../../../src/rpc/pending-call.ts";
import type { SimulatedRandom } from "../random.ts";
import type { SimulatedTimers } from "../timers.ts";

const LOST_SHARE = 0.04;
const LATE_SHARE = 0.04;
/** Longest time between a stage and its update, milliseconds: less than a call may take. */
const LATE_MS = 1_500;

export function stagingLink(link: RpcLink, random: SimulatedRandom, timers: SimulatedTimers): RpcLink {
  const faulty = (completion: RpcCompletion): RpcCompletion => ({
    answered: (body) => {
      const draw = random.next();
      if (draw < LATE_SHARE) {
        timers.after(random.next() * LATE_MS, () => completion.answered(body));
        return;
      }
      completion.answered(body);
      if (draw < LATE_SHARE + LOST_SHARE) link.close();
    },
    failed: (...failure) => completion.failed(...failure),
  });
  return {
    get isClosed() {
      return link.isClosed;
    },
    call: (...call) => link.call(...call),
    abandon: (completion) => link.abandon(completion),
    close: () => link.close(),
    start: (opcode, length, encoder, payload, options, completion) => {
      const isStage = opcode === Opcode.valueStage || opcode === Opcode.arrayStage;
      link.start(opcode, length, encoder, payload, options, isStage ? faulty(completion) : completion);
    },
  };
}
