/**
 * A ring without a kernel: requests become operations on a file of the world's disk, real or simulated, and complete in
 * any order. Under the simulated disk it loses power, tears sectors and runs full as that does; besides, a script can
 * make single requests come back short or with any error number. Memory has made-up addresses, so that a request that
 * names the wrong ones is found out.
 */
import { assert } from "../../../src/base/assert.ts";
import type { DiskFile, World } from "../../../src/contracts/world.ts";
import type { Ring, RingFile, RingMemory } from "../../../plugins/block-device/uring/ring.ts";
import { RingOperation } from "../../../plugins/block-device/uring/ring.ts";
import { PowerLossError } from "../../simulation/power-loss.ts";
import { SimulatedClock } from "../../simulation/clock.ts";

const BLOCK_BYTES = 4096;
/** A ring this small is often full. */
const DEPTH = 16;
/** Simulated time of one turn. */
const TURN_NS = 1000;
/** Room between the addresses of two memories. */
const SPACING_BYTES = 64 * 1024 * 1024;
const ERRNO_BY_CODE: Readonly<Record<string, number>> = { IO: 5, NO_SPACE: 28, READ_ONLY: 30 };

/** The next requests of an operation complete with `result`: a negative errno, or so many bytes really transferred. */
export interface RingFault {
  readonly operation: RingOperation;
  readonly result: number;
  /** Requests that complete so; default one. */
  readonly times?: number;
}

interface PushedRequest {
  readonly operation: RingOperation;
  readonly id: number;
  readonly offset: number;
  readonly length: number;
  readonly address: number;
  readonly region: number;
}

/** What the rings of one test have in common. */
export class RingScript {
  /** Requests that were started, by operation. */
  readonly started = new Map<RingOperation, number>();
  readonly #faults: { readonly fault: RingFault; left: number }[] = [];
  /** Requests wait until `letGo`. */
  isHeld = false;
  isBlockDevice = false;
  readonly #held: (() => void)[] = [];

  inject(fault: RingFault): void {
    this.#faults.push({ fault, left: fault.times ?? 1 });
  }

  letGo(): void {
    this.isHeld = false;
    for (const start of this.#held.splice(0)) start();
  }

  faultFor(operation: RingOperation): number | undefined {
    const entry = this.#faults.find(({ fault, left }) => fault.operation === operation && left > 0);
    if (entry === undefined) return undefined;
    entry.left -= 1;
    return entry.fault.result;
  }

  start(operation: RingOperation, start: () => void): void {
    this.started.set(operation, (this.started.get(operation) ?? 0) + 1);
    if (this.isHeld) this.#held.push(start);
    else start();
  }
}

/** What `UringBlockDeviceProvider` takes in place of the real thing. */
export function openDiskRing(script = new RingScript()): (path: string, world: World) => RingFile {
  return (path, world) => {
    const file = world.disk.openFile(path);
    const sizeBytes = file.sizeBytes();
    return {
      isBlockDevice: script.isBlockDevice,
      sizeBytes,
      blockBytes: BLOCK_BYTES,
      memoryAlignmentBytes: BLOCK_BYTES,
      open: (wake) => new DiskRing(world, file, world.disk.openFile(path, { durable: true }), script, wake),
      close: () => file.close(),
    };
  };
}

class DiskRing implements Ring {
  readonly depth = DEPTH;
  readonly #world: World;
  readonly #file: DiskFile;
  readonly #durableFile: DiskFile;
  readonly #script: RingScript;
  readonly #wake: () => void;
  readonly #memories: ArrayBufferLike[] = [];
  #pushed: PushedRequest[] = [];
  #completed: { readonly id: number; readonly result: number }[] = [];
  #taken: { readonly id: number; readonly result: number }[] = [];
  #unanswered = 0;
  #isArmed = false;

  constructor(world: World, file: DiskFile, durableFile: DiskFile, script: RingScript, wake: () => void) {
    this.#world = world;
    this.#file = file;
    this.#durableFile = durableFile;
    this.#script = script;
    this.#wake = wake;
  }

  push(operation: RingOperation, id: number, offset: number, length: number, address: number, region: number): void {
    this.#unanswered += 1;
    assert(this.#unanswered <= DEPTH, "no more requests than the ring holds");
    this.#pushed.push({ operation, id, offset, length, address, region });
  }

  turn(waitUs: number): number {
    const { clock } = this.#world;
    // A real turn takes time, and a wait that ends without completions all of its own.
    if (clock instanceof SimulatedClock) clock.advance(TURN_NS + (this.#completed.length > 0 ? 0 : waitUs * 1000));
    for (const request of this.#pushed.splice(0)) this.#script.start(request.operation, () => this.#start(request));
    this.#taken = this.#completed;
    this.#completed = [];
    this.#unanswered -= this.#taken.length;
    return this.#taken.length;
  }

  completedId(index: number): number {
    return this.#taken[index]!.id;
  }

  completedResult(index: number): number {
    return this.#taken[index]!.result;
  }

  arm(): boolean {
    assert(!this.#isArmed, "armed once at a time");
    if (this.#completed.length > 0 || this.#pushed.length > 0) return false;
    this.#isArmed = true;
    return true;
  }

  disarm(): void {
    assert(this.#isArmed, "disarmed only after it was armed");
    this.#isArmed = false;
  }

  map(sizeBytes: number): RingMemory {
    const bytes = new ArrayBuffer(sizeBytes);
    this.#memories.push(bytes);
    return { bytes, address: this.#memories.length * SPACING_BYTES, region: this.#memories.length };
  }

  unmap(memory: RingMemory): void {
    assert(this.#memories[memory.region - 1] === memory.bytes, "memory of this ring");
  }

  addressOf(bytes: Uint8Array): number {
    let index = this.#memories.indexOf(bytes.buffer);
    if (index < 0) index = this.#memories.push(bytes.buffer) - 1;
    return (index + 1) * SPACING_BYTES + bytes.byteOffset;
  }

  close(): void {
    assert(this.#unanswered === 0, "nothing is in flight");
    this.#durableFile.close();
    this.#file.close();
  }

  #start(request: PushedRequest): void {
    const { operation, id, offset, length } = request;
    const result = this.#script.faultFor(operation);
    if (result !== undefined && result < 0) {
      this.#complete(id, result);
      return;
    }
    const bytes = result ?? length;
    if (bytes === 0) {
      const done = operation === RingOperation.flush ? this.#file.sync() : Promise.resolve();
      this.#await(
        id,
        done.then(() => 0),
      );
      return;
    }
    if (operation === RingOperation.read) this.#await(id, this.#file.read(this.#memory(request, bytes), offset));
    else if (operation === RingOperation.write) this.#write(this.#file, request, bytes);
    else if (operation === RingOperation.durableWrite) this.#write(this.#durableFile, request, bytes);
    else this.#complete(id, this.#file.punchHole(offset, length) ? 0 : -95);
  }

  #write(file: DiskFile, request: PushedRequest, bytes: number): void {
    this.#await(
      request.id,
      file.write(this.#memory(request, bytes), request.offset).then(() => bytes),
    );
  }

  #await(id: number, operation: Promise<number>): void {
    operation.then(
      (result) => this.#complete(id, result),
      (error: unknown) => {
        if (error instanceof PowerLossError) return;
        this.#complete(id, -(ERRNO_BY_CODE[(error as { code: string }).code] ?? 5));
      },
    );
  }

  #complete(id: number, result: number): void {
    this.#completed.push({ id, result });
    if (this.#isArmed) this.#wake();
  }

  #memory({ address, length, region }: PushedRequest, bytes: number): Uint8Array {
    assert(address % BLOCK_BYTES === 0 && length % BLOCK_BYTES === 0, "a request is aligned");
    const index = Math.floor(address / SPACING_BYTES) - 1;
    const memory = this.#memories[index];
    assert(memory !== undefined && (region === -1 || region === index + 1), "a request names its memory");
    return new Uint8Array(memory, address % SPACING_BYTES, bytes);
  }
}
