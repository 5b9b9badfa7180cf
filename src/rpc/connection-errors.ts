/**
 * What the client's end of a connection fails with: one function an error, so that all texts are in one place. `address`
 * is the server's, `host:port`.
 */
import { DaosError } from "../base/errors.ts";
import { fitsFrame } from "./frame-writer.ts";

export function closedByUs(address: string): DaosError {
  return new DaosError("UNAVAILABLE", `Cannot use connection to "${address}": it was closed. Connect again.`);
}

/** `cause`: what broke it; undefined when the server ended it. */
export function closedByPeer(address: string, cause: Error | undefined): DaosError {
  const state = cause === undefined ? "the server closed it" : `it broke (${cause.message})`;
  const message = `Cannot use connection to "${address}": ${state}. Connect again; what was asked may have happened.`;
  return new DaosError("UNAVAILABLE", message, { cause });
}

export function noAnswer(address: string): DaosError {
  const advice = "It may have happened; ask again or allow more time";
  return new DaosError("TIMEOUT", `Cannot finish request to "${address}": no answer in time. ${advice}.`);
}

function requestTooLarge(bytes: number): DaosError {
  return new DaosError("TOO_LARGE", `Cannot send request: ${bytes} bytes are over a frame's limit. Split the request.`);
}

function canceledBefore(): DaosError {
  return new DaosError("CANCELED", "Cannot start request: the caller canceled.");
}

/** `cause`: the signal's reason. */
export function canceledMeanwhile(cause: unknown): DaosError {
  return new DaosError("CANCELED", "Cannot finish request: the caller canceled. It may have happened.", { cause });
}

/** Another way has brought what was asked for. */
export function abandoned(): DaosError {
  return new DaosError("CANCELED", "Cannot finish request: its answer is not needed any more.");
}

/** Why a request of such a size is not sent; `closed`: what the connection has ended with. */
export function refusalOf(
  closed: DaosError | undefined,
  argsLength: number,
  payloadBytes: number,
  signal: AbortSignal | undefined,
): DaosError | undefined {
  if (closed !== undefined) return new DaosError("UNAVAILABLE", closed.message, { cause: closed });
  if (signal?.aborted === true) return canceledBefore();
  return fitsFrame(argsLength, payloadBytes) ? undefined : requestTooLarge(argsLength + payloadBytes);
}

/** What a call fails with whose answer is refused for `cause`: one that was damaged says nothing. */
export function answerRefused(address: string, cause: DaosError): DaosError {
  if (cause.code !== "DAMAGED") return cause;
  const message = `Cannot use the answer of "${address}": it was damaged on its way. What was asked may have happened.`;
  return new DaosError("UNAVAILABLE", message, { cause });
}

/** What calls fail with when one of both ends cannot follow the other any more, for `cause`. */
export function streamLost(address: string, cause: DaosError): DaosError {
  if (cause.code !== "DAMAGED") return cause;
  const state = "bytes were damaged on their way, and what follows cannot be read";
  const message = `Cannot use connection to "${address}": ${state}. Connect again; what was asked may have happened.`;
  return new DaosError("UNAVAILABLE", message, { cause });
}

export function strayAnswer(address: string): DaosError {
  const state = "one answers no request of ours";
  return new DaosError("PROTOCOL", `Cannot read answers of "${address}": ${state}. Connect again.`);
}

/** So many requests were given up whose answers never came. */
export function answersMissing(address: string, count: number): DaosError {
  const state = `it has left ${count} requests without an answer`;
  return new DaosError("UNAVAILABLE", `Cannot use connection to "${address}": ${state}. Connect again.`);
}
