/**
 * The few calls of the C library that the runtime has no function for: file locks, reserving and freeing blocks, giving
 * back pages of a mapped file, mapping one, and reads of files and sockets that give up rather than wait. Needs no compiler.
 * Where the library cannot be loaded `libc` is undefined and the callers do without, except the folder lock and the
 * view of a file range, which say so.
 */
import { dlopen, FFIType, type Pointer, ptr, toArrayBuffer } from "bun:ffi";

/** Opens the library by its name. Throws where there is none of this name. */
function openLibrary(name: string) {
  return dlopen(name, {
    flock: { args: ["i32", "i32"], returns: "i32" },
    fallocate: { args: ["i32", "i32", FFIType.i64_fast, FFIType.i64_fast], returns: "i32" },
    mmap: {
      args: [FFIType.i64_fast, FFIType.i64_fast, "i32", "i32", "i32", FFIType.i64_fast],
      returns: FFIType.i64_fast,
    },
    munmap: { args: ["ptr", FFIType.i64_fast], returns: "i32" },
    madvise: { args: ["ptr", FFIType.i64_fast, "i32"], returns: "i32" },
    recv: { args: ["i32", "ptr", FFIType.i64_fast, "i32"], returns: FFIType.i64_fast },
    setpriority: { args: ["i32", "u32", "i32"], returns: "i32" },
    preadv2: { args: ["i32", "ptr", "i32", FFIType.i64_fast, "i32"], returns: FFIType.i64_fast },
  }).symbols;
}

/** Names of the C library: Debian and most others, Alpine (musl) on both processors. */
const LIBRARY_NAMES: readonly string[] = ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"];

const LOCK_EXCLUSIVE_NONBLOCKING = 2 | 4;
const FALLOCATE_KEEP_SIZE = 1;
const FALLOCATE_PUNCH_HOLE = 2;
const RWF_NOWAIT = 8;
const MSG_DONTWAIT = 0x40;
const MADV_DONTNEED = 4;
const PROT_READ = 1;
const PRIO_PROCESS = 0;
const MAP_SHARED = 1;

export class Libc {
  readonly #call: ReturnType<typeof openLibrary>;
  readonly #vector = new BigUint64Array(2);
  readonly #vectorAddress = ptr(this.#vector);

  constructor(libraryName: string) {
    this.#call = openLibrary(libraryName);
  }

  /** Takes the exclusive lock of an open file; false when another open of it has the lock. */
  lockExclusive(descriptor: number): boolean {
    return this.#call.flock(descriptor, LOCK_EXCLUSIVE_NONBLOCKING) === 0;
  }

  /** Takes blocks for the range, growing the file, without writing them. False when the file system cannot. */
  reserve(descriptor: number, offset: number, length: number): boolean {
    return this.#call.fallocate(descriptor, 0, offset, length) === 0;
  }

  /** Frees the blocks of the range, which reads as zeros then. False when the file system cannot. */
  punchHole(descriptor: number, offset: number, length: number): boolean {
    return this.#call.fallocate(descriptor, FALLOCATE_PUNCH_HOLE | FALLOCATE_KEEP_SIZE, offset, length) === 0;
  }

  /** Reads what is in the page cache, without waiting: bytes read, possibly fewer than asked for, or -1. */
  readCached(descriptor: number, buffer: Uint8Array, offset: number): number {
    this.#vector[0] = BigInt(ptr(buffer));
    this.#vector[1] = BigInt(buffer.length);
    return Number(this.#call.preadv2(descriptor, this.#vectorAddress, 1, offset, RWF_NOWAIT));
  }

  /** Bytes of a socket that have arrived, as many as fit; 0 or less when there are none, it has ended, or it failed. */
  receive(descriptor: number, buffer: Uint8Array): number {
    return Number(this.#call.recv(descriptor, ptr(buffer), buffer.length, MSG_DONTWAIT));
  }

  /** Gives this thread less of a busy processor, by a nice value of 1 to 19. False when it cannot be done. */
  giveWay(nice: number): boolean {
    // Linux has one nice value a thread, and 0 is the caller.
    return this.#call.setpriority(PRIO_PROCESS, 0, nice) === 0;
  }

  /** Unmaps the pages of the range from this process; of a shared map the file keeps their content. False when it cannot. */
  forgetPages(address: number, length: number): boolean {
    return this.#call.madvise(address as Pointer, length, MADV_DONTNEED) === 0;
  }

  /** Maps a range of an open file, shared and read-only: to write to it ends the process. Undefined when it cannot be. */
  mapShared(descriptor: number, offset: number, length: number): ArrayBuffer | undefined {
    const address = Number(this.#call.mmap(0, length, PROT_READ, MAP_SHARED, descriptor, offset));
    return address === -1 ? undefined : toArrayBuffer(address as Pointer, 0, length);
  }

  /** Unmaps what `mapShared` gave. No view of it may be used any more. */
  unmap(mapped: ArrayBuffer): void {
    this.#call.munmap(ptr(mapped), mapped.byteLength);
  }

  /** Address of the first byte. Only its alignment is of interest. */
  addressOf(buffer: Uint8Array): number {
    return ptr(buffer);
  }
}

function loadLibc(): Libc | undefined {
  for (const name of LIBRARY_NAMES) {
    try {
      return new Libc(name);
    } catch {
      // Not this system's name: the next one.
    }
  }
  return undefined;
}

/** Shared by the disk of this thread. */
export const libc: Libc | undefined = loadLibc();
