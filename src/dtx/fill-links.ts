/** The targets that a leader fills, as it reaches them. */
import { DaosError, hasCode } from "../base/errors.ts";
import type { Timers } from "../contracts/world.ts";
import { encodeFillRequest, FillFlag, type FillRequest } from "../format/fill-message.ts";
import { Opcode } from "../format/operations.ts";
import type { RequestPayload } from "../rpc/pending-call.ts";
import { type Destination, type FillRound, inMessages, type LevelledDkey, nameOf, notYet } from "./fill-round.ts";
import type { FillStore } from "./fill-store.ts";
import type { Peer } from "./peer.ts";

/** Time for a target to take what it is sent, milliseconds. */
const CALL_TIMEOUT_MS = 30_000;
/** Pause before a target is asked again that has too much to do, milliseconds. */
const BUSY_MS = 20;
/** How often a message is sent that is damaged on its way. */
const MAX_SENDINGS = 3;

/** What a target has is damaged, so that it cannot take what it is to be filled with. */
export class DamagedDestination extends DaosError {
  constructor(message: string) {
    super("CORRUPT", message);
  }
}

export class FillLinks {
  readonly #peer: (index: number) => Peer | undefined;
  readonly #timers: Timers;

  constructor(peer: (index: number) => Peer | undefined, timers: Timers) {
    this.#peer = peer;
    this.#timers = timers;
  }

  /** Undefined when it has to be opened, again. */
  present(round: FillRound, container: number, target: number): Destination | undefined {
    const destination = round.destinations.get(nameOf(container, target));
    return destination !== undefined && this.isPresent(destination) ? destination : undefined;
  }

  isPresent({ target, life }: Destination): boolean {
    const peer = this.#peer(target);
    return peer?.isReady === true && peer.life === life;
  }

  /** Targets that do not have the dkey yet. */
  missing(round: FillRound, container: number, dkey: LevelledDkey, unfilled: readonly number[]): number[] {
    return unfilled.filter((target) => {
      const destination = this.present(round, container, target);
      return destination === undefined || !destination.has(dkey);
    });
  }

  /** Leaves a dkey out for now; false when a target has to be opened before. The targets do not count as having it. */
  passOver(round: FillRound, container: number, dkey: LevelledDkey, unfilled: readonly number[]): boolean {
    const opened = unfilled.map((target) => this.present(round, container, target));
    if (opened.includes(undefined)) return false;
    for (const destination of opened) if (!destination!.has(dkey)) destination!.broken.add(dkey.prefix);
    return true;
  }

  /**
   * Tells a target that it has all, and which requests were completed here. `isCompared`: what it had was compared; else it
   * had better have nothing.
   */
  async close(round: FillRound, destination: Destination, store: FillStore, isCompared: boolean): Promise<void> {
    const { container } = destination;
    const requests = [...store.requests()];
    const flags = isCompared ? FillFlag.compared : 0;
    const close = { kind: "close", container, flags, forgottenTo: store.forgottenTo() } as const;
    for (const some of inMessages(requests)) await this.send(round, [destination], { ...close, requests: some });
    await this.send(round, [destination], { ...close, flags: flags | FillFlag.last, requests: [] });
    destination.isClosed = true;
  }

  /** Sends it to all of them; its payload. Rejects when one has not taken it, once none is still being asked. */
  async send(
    round: FillRound,
    destinations: readonly Destination[],
    request: FillRequest,
  ): Promise<{ readonly length: number }> {
    const { args, payload, checksum } = encodeFillRequest(request);
    const summed = { length: payload.length, views: [payload], checksum };
    const outcomes = await Promise.allSettled(
      destinations.map(async (destination) => {
        for (;;) {
          if (!this.isPresent(destination)) throw notYet("a target has another connection");
          try {
            return await this.call(round, destination.target, args, summed);
          } catch (error) {
            // It has as much waiting for its turn there as it holds.
            if (!hasCode(error, "BUSY")) throw error;
          }
          await new Promise<void>((resolve) => void this.#timers.after(BUSY_MS, resolve));
          round.check();
        }
      }),
    );
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    return payload;
  }

  /** Tells targets that an update waits for a dkey of which they have something waiting. */
  hurry(round: FillRound, container: number, prefix: string, targets: readonly number[]): void {
    const { args, payload } = encodeFillRequest({ kind: "hurry", container, prefix });
    for (const target of targets) {
      // One that cannot be reached has nothing waiting.
      this.call(round, target, args, payload).catch((error: unknown) => {
        if (!(error instanceof DaosError)) throw error;
      });
    }
  }

  /** What the target answers. Rejects with UNAVAILABLE, and as it does. */
  async call(round: FillRound, target: number, args: Uint8Array, payload: RequestPayload): Promise<Uint8Array> {
    const peer = this.#peer(target);
    if (peer?.isReady !== true) throw notYet(`target ${target} cannot be reached`);
    const options = { mapVersion: round.mapVersion, timeoutMs: CALL_TIMEOUT_MS };
    for (let sendings = 1; ; sendings += 1) {
      try {
        return (await peer.call(Opcode.dtxFill, args, payload, options)).payload;
      } catch (error) {
        if (hasCode(error, "CORRUPT")) throw new DamagedDestination((error as DaosError).message);
        // It was not taken. What is damaged each time was so before it left, and is read again.
        if (!hasCode(error, "DAMAGED") || sendings === MAX_SENDINGS) throw error;
      }
    }
  }
}
