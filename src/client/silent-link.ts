/**
 * Ends connections to engines that are gone without a word: a host that is cut off, a process that stands still. Nobody
 * closes those, and what waits there would wait for its time limit although others could be asked.
 */
import { DaosError, hasCode } from "../base/errors.ts";
import { Opcode } from "../format/operations.ts";
import type { RpcLink } from "./rpc-link.ts";

/** A silent engine that does not answer a ping within this time is gone, milliseconds. */
const PING_TIMEOUT_MS = 5_000;
const NO_ARGUMENTS = new Uint8Array(0);

export class SilentLinks {
  readonly #asked = new WeakSet<RpcLink>();

  /** The other side of the link is silent: pings it, and closes the link when that is not answered. Never rejects. */
  async check(link: RpcLink | undefined): Promise<void> {
    if (link === undefined || link.isClosed || this.#asked.has(link)) return;
    this.#asked.add(link);
    try {
      await link.call(Opcode.ping, NO_ARGUMENTS, undefined, { timeoutMs: PING_TIMEOUT_MS });
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      if (hasCode(error, "TIMEOUT")) link.close();
    } finally {
      this.#asked.delete(link);
    }
  }
}
