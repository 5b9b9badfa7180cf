/**
 * Typed loader of native/pmdk: persistent memory through libpmem2. The mapping's bytes are an external ArrayBuffer, which
 * reads and writes the medium itself; it cannot be shared with another thread. What the calls throw is an Error whose
 * `code` is an errno name, a name of libpmem2 without `PMEM2_E_`, or BUSY. Meaning and lifetimes are left to scm/pmdk.
 */
import { type AddonResult, loadAddon } from "../load-addon.ts";

export type PmdkGranularity = "byte" | "cache_line" | "page";
/** What is at a path. `other`: a device, socket or pipe that holds no memory. */
export type PmdkKind = "absent" | "folder" | "file" | "devdax" | "block-device" | "other";

export interface PmdkMapping {
  /** Number for the other calls, until `close`. */
  readonly slot: number;
  readonly bytes: ArrayBuffer;
  readonly granularity: PmdkGranularity;
}

export interface PmdkSource {
  readonly sizeBytes: number;
  /** Offset and length of a mapping are multiples of this. */
  readonly alignmentBytes: number;
  readonly numaNode?: number;
  /** Opaque name of the memory modules behind it. */
  readonly deviceId?: string;
  readonly unsafeShutdowns?: number;
  /** Media errors, from the start of the file or device; at most 1024. */
  readonly badBlocks?: readonly { readonly offset: number; readonly length: number }[];
  /** What this machine does not tell, with the reason: `bad blocks: ...`. */
  readonly unavailable: readonly string[];
}

/** `map`'s last argument: the granularity that is pretended, or -1 to ask the medium. */
export const FORCED_GRANULARITIES: Readonly<Record<PmdkGranularity, number>> = { byte: 0, cache_line: 1, page: 2 };

export interface PmdkAddon {
  kindOf(path: string): PmdkKind;
  /** Opens, asks and closes. */
  inspect(path: string): PmdkSource;
  /** The first `length` bytes, read without a lock. Throws IO_FAIL for a media error, MAP_RANGE when it is shorter. */
  readHead(path: string, length: number): ArrayBuffer;
  /** Locks the range (BUSY when it is taken) and maps it. `forced`: see FORCED_GRANULARITIES. */
  map(path: string, offset: number, length: number, forced: number): PmdkMapping;
  /** Durable on return. Throws NOSUPP at page granularity, EBADF after `close`, EINVAL outside of the mapping. */
  persist(slot: number, offset: number, length: number): void;
  /** Fills with zeros, durable on return. Throws as `persist`. */
  zero(slot: number, offset: number, length: number): void;
  /** Beyond what `persist` does, to the medium itself. */
  deepFlush(slot: number, offset: number, length: number): void;
  /** Detaches the bytes (every view of them is empty then), unmaps and unlocks. */
  close(slot: number, bytes: ArrayBuffer): void;
}

/** The addon of this thread, or why there is none. */
export function loadPmdkAddon(): AddonResult<PmdkAddon> {
  return loadAddon<PmdkAddon>("pmdk", () => require("./build/Release/pmdk.node"));
}
