/**
 * What the addon says about failures, as errors an admin can act on.
 */
import { VhostUserFailure } from "../../../native/vhost-user/addon.ts";
import { DaosError } from "../../../src/base/errors.ts";

/** The error for a handshake that failed or a connection that broke. */
export function connectionError(socketPath: string, failure: { kind: number; text: string }): DaosError {
  const opening = `Cannot use vhost-user back-end "${socketPath}": ${failure.text}.`;
  switch (failure.kind) {
    case VhostUserFailure.protocol:
      return new DaosError("PROTOCOL", `${opening} Check that a vhost-user-blk back-end listens there.`);
    case VhostUserFailure.unsupported:
      return new DaosError("UNSUPPORTED", `${opening} Use spdk_tgt or qemu-storage-daemon of a supported release.`);
    case VhostUserFailure.timeout:
      return new DaosError("TIMEOUT", `${opening} Check that it runs and serves no other client on this socket.`);
    default:
      return new DaosError("UNAVAILABLE", `${opening} Start it, or check its log.`);
  }
}

/** The error for memory that cannot be had. `error` is what the addon's `create` threw. */
export function memoryError(error: unknown, hugePagesRequired: boolean, pages: number): DaosError {
  const { code, message } = error as { code?: string; message?: string };
  if (code !== "ENOMEM") return new DaosError("IO", `Cannot start vhost-user client: ${message}.`, { cause: error });
  const advice = hugePagesRequired
    ? `Reserve ${pages} more huge pages of 2 MiB (sysctl vm.nr_hugepages), or set hugepages: prefer where the ` +
      "back-end needs none."
    : "Free memory, or lower nr_hugepages.";
  return new DaosError("NO_SPACE", `Cannot allocate I/O memory: ${message}. ${advice}`, { cause: error });
}

/** The error for requests after the end. */
export function closedError(): DaosError {
  return new DaosError("UNAVAILABLE", "Cannot use vhost-user back-end: the device is closed.");
}

/** The error for a back-end that broke the rules of the ring. */
export function violationError(socketPath: string): DaosError {
  const state = "it broke the rules of the ring and is not trusted any more";
  return new DaosError("IO", `Cannot use vhost-user back-end "${socketPath}": ${state}. Replace it and restart.`);
}

/** The error for a back-end that came back as something else. */
export function changedError(socketPath: string): DaosError {
  const state = "it came back as another kind of device (block size, queues, limits or write cache)";
  return new DaosError("IO", `Cannot use vhost-user back-end "${socketPath}": ${state}. Restore it and restart.`);
}
