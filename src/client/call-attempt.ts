/** One attempt of a hot request that its session sends again, or could not send at once. */
import type { DaosError } from "../base/errors.ts";
import { objectRequestBytes } from "../format/object-request.ts";
import type { ObjectCall } from "./object-call.ts";
import type { RpcCallOptions, RpcLink } from "./rpc-link.ts";

/** Carries a failure of a request that never left. */
export class NotSent extends Error {
  readonly error: DaosError;

  constructor(error: DaosError) {
    super(error.message);
    this.error = error;
  }
}

/** Resolves when the call has its answer. Rejects with the error of the attempt, as NotSent where nothing was done. */
export function attempted(
  call: ObjectCall<unknown>,
  link: RpcLink,
  handle: number,
  options: RpcCallOptions,
): Promise<void> {
  call.handle = handle;
  return new Promise<void>((resolve, reject) => {
    const start = (): void => {
      if (call.isSettled) {
        resolve();
        return;
      }
      call.sendings += 1;
      call.link = link;
      call.completion = {
        answered(body): void {
          call.answered(body);
          resolve();
        },
        failed(error, wasSent): void {
          call.nameBytes();
          const reason = call.reasonOf(error);
          if (call.isSettled) resolve();
          else if (call.renamed(error, wasSent)) start();
          else reject(wasSent ? reason : new NotSent(reason));
        },
      };
      link.start(call.opcode, objectRequestBytes(call), call, call.payload, options, call.completion);
    };
    start();
  });
}
