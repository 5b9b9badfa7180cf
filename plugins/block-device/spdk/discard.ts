/**
 * One discard of the device, cut into requests that the back-end takes. Advisory: its promise always resolves; failed
 * requests are counted.
 */
import { BlockRequestType } from "../../../native/vhost-user/addon.ts";
import type { BlockRequest } from "./block-request.ts";

export class Discard {
  readonly #resolve: () => void;
  readonly #countError: () => void;
  #remaining = 0;
  #failed = false;

  constructor(resolve: () => void, countError: () => void) {
    this.#resolve = resolve;
    this.#countError = countError;
  }

  /** Submits it in pieces of at most `maxBytes`. */
  start(submit: (request: BlockRequest) => void, deviceByte: number, length: number, maxBytes: number): void {
    this.#remaining = Math.ceil(length / maxBytes);
    for (let done = 0; done < length; done += maxBytes) {
      submit(new DiscardPiece(this, deviceByte + done, Math.min(maxBytes, length - done)));
    }
  }

  pieceEnded(failed: boolean): void {
    this.#remaining -= 1;
    this.#failed ||= failed;
    if (this.#remaining > 0) return;
    if (this.#failed) this.#countError();
    this.#resolve();
  }
}

class DiscardPiece implements BlockRequest {
  readonly type = BlockRequestType.discard;
  readonly place = 0;
  readonly deviceByte: number;
  readonly length: number;
  readonly #discard: Discard;

  constructor(discard: Discard, deviceByte: number, length: number) {
    this.#discard = discard;
    this.deviceByte = deviceByte;
    this.length = length;
  }

  completed(status: number): void {
    this.#discard.pieceEnded(status !== 0);
  }

  failed(): void {
    this.#discard.pieceEnded(true);
  }
}
