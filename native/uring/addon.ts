/**
 * The types of the addon `uring` and its loader. What each call does and refuses is said in binding.cc and ring.h; the
 * plugin block-device `uring` is the only caller.
 */
import { type AddonResult, loadAddon } from "../load-addon.ts";

/** What was found at a path: see device-file.h. */
export interface OpenedFile {
  /** -1 when it could not be opened: then `error` is the errno, `failedStep` one of FAILED_STEPS. */
  readonly descriptor: number;
  /** 1 or 0. */
  readonly isBlockDevice: number;
  readonly sizeBytes: number;
  readonly blockBytes: number;
  readonly memoryAlignmentBytes: number;
  readonly error: number;
  readonly failedStep: number;
  /** 1 or 0. */
  readonly isMounted: number;
}

/** Values of `failedStep`, by index. */
export const FAILED_STEPS = ["none", "find", "open", "lock", "measure"] as const;

export interface UringAddon {
  /** 0 when the kernel gives this process a ring, else an errno. */
  probe(): number;
  openFile(path: string): OpenedFile;
  /** For a file that no ring was opened on. */
  closeFile(descriptor: number): number;
  /** The descriptor is the ring's from now on. A ring and the block of memory shared with it (ring.h: `Shared`), or an errno. `wake` is called after `arm`. */
  openRing(
    descriptor: number,
    entries: number,
    wake: () => void,
  ): number | { readonly id: number; readonly shared: ArrayBuffer };
  /** 0, or a negative errno. */
  submit(id: number): number;
  /** Completions taken out, or a negative errno. */
  turn(id: number): number;
  /** 1: `wake` will be called at the next completion, and the event loop lives until `disarm`. 0: a turn is due. */
  arm(id: number): number;
  disarm(id: number): void;
  /** 0 when requests are in flight, else 1. Closes the descriptor too. */
  closeRing(id: number): number;
  /** Zeros, 2 MiB aligned; undefined when there is no memory. */
  mapMemory(sizeBytes: number): ArrayBuffer | undefined;
  addressOf(bytes: Uint8Array): number;
  /** 0 or an errno. An empty array forgets the region. */
  registerMemory(id: number, region: number, bytes: Uint8Array): number;
}

/** Each thread has an instance of its own, loaded when it is first asked for. */
let loaded: AddonResult<UringAddon> | undefined;

/** The addon, or why there is none. */
export function uringAddon(): AddonResult<UringAddon> {
  loaded ??= loadAddon<UringAddon>("uring", () => require("./build/Release/uring.node"));
  return loaded;
}
