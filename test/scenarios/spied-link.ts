/** A client's connection that loses requests or replies on demand, as a network does. */
import { DaosError } from "../../src/base/errors.ts";
import type { RpcLink } from "../../src/client/rpc-link.ts";
import type { Opcode } from "../../src/format/operations.ts";
import type { SimulatedTimers } from "../simulation/timers.ts";

/** `request`: it never arrives. `reply`: it does, and its answer is lost. The connection breaks. */
export type Loss = "request" | "reply";

export class Losses {
  /** What is lost next, in order. */
  readonly next: { readonly opcode: Opcode; readonly loss: Loss | undefined }[] = [];
  /** What was to be lost; a request that was refused has no reply to lose. */
  readonly lost: Loss[] = [];
  /** How long nobody hears of it, milliseconds. */
  pauseMs = 0;
  readonly #timers: SimulatedTimers;

  constructor(timers: SimulatedTimers) {
    this.#timers = timers;
  }

  /** Lets the next request of this kind through, before what is added later is lost. */
  pass(opcode: Opcode): void {
    this.next.push({ opcode, loss: undefined });
  }

  readonly wrap = (link: RpcLink): RpcLink => ({
    get isClosed() {
      return link.isClosed;
    },
    call: (...call) => link.call(...call),
    abandon: (completion) => link.abandon(completion),
    close: () => link.close(),
    start: (opcode, length, encoder, payload, options, completion) => {
      const loss = this.next[0]?.opcode === opcode ? this.next.shift()!.loss : undefined;
      if (loss === undefined) {
        link.start(opcode, length, encoder, payload, options, completion);
        return;
      }
      this.lost.push(loss);
      const fail = (): void => {
        link.close();
        const after = (): void => completion.failed(new DaosError("UNAVAILABLE", "The connection is lost."), true);
        this.#timers.after(this.pauseMs, after);
      };
      if (loss === "request") fail();
      else {
        const refused = (error: DaosError, wasSent: boolean): void => completion.failed(error, wasSent);
        link.start(opcode, length, encoder, payload, options, { answered: fail, failed: refused });
      }
    },
  });
}
