/**
 * The vhost-user addon: types and loader. One handle is one connection to a vhost-user-blk back-end with its memory; it
 * belongs to the thread that made it. Nothing here waits: handshakes and sleeping are a thread's of the handle, which
 * reports through the listener. Every promise, limit and retry is the caller's (plugins/block-device/spdk).
 */
import { type AddonResult, loadAddon } from "../load-addon.ts";

/** Opaque. */
export interface VhostUserHandle {
  readonly vhostUserHandle: unique symbol;
}

/** Bits that the listener is called with. */
export const VhostUserEvent = {
  /** Something completed after `arm` returned true. */
  completion: 1,
  /** A handshake succeeded: see `describe`, then `resume`. */
  connected: 2,
  /** A handshake failed: see `failure`. */
  connectFailed: 4,
  /** The connection broke: see `failure`. Requests in flight are kept for the next `resume`. */
  lost: 8,
  /** `refresh` was answered: see `describe`. */
  configRead: 16,
  /** `disconnect` is done. */
  disconnected: 32,
  /** The back-end announced another size: call `refresh`. */
  configChanged: 64,
} as const;

/** Kinds of failure, as numbers of `failure().kind`. */
export const VhostUserFailure = { unavailable: 1, protocol: 2, unsupported: 3, timeout: 4 } as const;

/** Types of requests: virtio 1.2, 5.2.6. */
export const BlockRequestType = { read: 0, write: 1, flush: 4, discard: 11 } as const;

/** Whether the pool consists of huge pages. */
export const HugePagesChoice = { off: 0, prefer: 1, require: 2 } as const;

/** A command is this many doubles in `commands`: slot, type, sector (of 512 bytes), byte offset in `memory`, length. */
export const COMMAND_DOUBLES = 5;
export const MAX_QUEUES = 8;
export const MAX_DEPTH = 256;
/** Results of `exchange` below zero. */
export const ExchangeFailure = { violation: -1, wrongCommand: -2 } as const;

export interface VhostUserSettings {
  readonly socketPath: string;
  /** Wanted; the back-end may serve fewer. */
  readonly queues: number;
  /** Requests of one queue, a power of two. */
  readonly depth: number;
  /** For a whole handshake, and for a whole goodbye. */
  readonly timeoutMs: number;
  /** Shared memory, rings included, in pages of 4 KiB; rounded up to 2 MiB. */
  readonly poolPages: number;
  readonly hugePages: (typeof HugePagesChoice)[keyof typeof HugePagesChoice];
}

export interface VhostUserConnection {
  readonly handle: VhostUserHandle;
  /** The pool. Its first `ringBytes` are the rings': leave them alone. Mapped until it is collected and the handle gone. */
  readonly memory: ArrayBuffer;
  readonly ringBytes: number;
  /** Doubles. */
  readonly commands: ArrayBuffer;
  /** Pairs of u32: slot, status (0 done, 1 failed, 2 unsupported, others: nonsense of the back-end). */
  readonly completions: ArrayBuffer;
  readonly hugePages: boolean;
  /**
   * Submits that many commands, kicks the back-end if it wants to be, and collects; when there is nothing, goes on looking
   * for up to `spinNs` (at most a millisecond). Count of completions, or a failure.
   */
  readonly exchange: (commandCount: number, spinNs: number) => number;
}

/** What a checked back-end offers. Slots go from 0 to queues x depth - 1. */
export interface VhostUserDescription {
  readonly capacityBytes: number;
  /** 512 or 4096. */
  readonly blockBytes: number;
  /** Most bytes of one data segment, most segments of one request. */
  readonly segmentBytes: number;
  readonly maxSegments: number;
  /** 0: it discards nothing. */
  readonly maxDiscardSectors: number;
  readonly queues: number;
  readonly flush: boolean;
  readonly readOnly: boolean;
  readonly eventIndex: boolean;
}

export interface VhostUserAddon {
  /** Throws an Error with `code` ENOMEM (no such pool), EINVAL, EAGAIN (no thread), ENOTSUP. */
  create(settings: VhostUserSettings, listener: (events: number) => void): VhostUserConnection;
  /** Begins a handshake, with empty rings; only when not connected. */
  connect(handle: VhostUserHandle): void;
  /** After `connected`: places what was in flight; commands may follow. */
  resume(handle: VhostUserHandle): void;
  /** When not connected: forgets what is in flight, so that it is never submitted again. */
  abandon(handle: VhostUserHandle): void;
  /** True: `completion` will be told. False: there is something to collect already. */
  arm(handle: VhostUserHandle): boolean;
  /** Has the configuration read again. */
  refresh(handle: VhostUserHandle): void;
  /** Takes the rings back and closes the socket; nothing should be in flight. */
  disconnect(handle: VhostUserHandle): void;
  /** Ends the thread and closes everything but the memory, at once. The handle is dead afterwards. */
  destroy(handle: VhostUserHandle): void;
  describe(handle: VhostUserHandle): VhostUserDescription;
  failure(handle: VhostUserHandle): { readonly kind: number; readonly text: string };
}

/** The addon, or why there is none; one instance a thread. */
export function loadVhostUser(): AddonResult<VhostUserAddon> {
  return loadAddon<VhostUserAddon>("vhost-user", () => require("./build/Release/vhost-user.node"));
}
