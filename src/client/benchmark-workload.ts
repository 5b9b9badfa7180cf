/**
 * What a benchmark does over and over: reads and writes of the pairs of a `kv` container, or of places in one array. A
 * workload fills what its reads will look for, and removes all it wrote.
 */
import type { Random } from "../contracts/world.ts";
import type { KeyValue } from "../contracts/key-value.ts";
import { KIB, MIB } from "../base/limits.ts";
import type { ArrayHandle } from "./array-handle.ts";
import type { Container } from "./container.ts";
import { forEachParallel } from "./parallel.ts";

/** Writes under way at once when a workload is filled or removed. */
const FILL_WINDOW = 128;
/** Bytes of one write when an array is filled. */
const FILL_WRITE_BYTES = 4 * MIB;

/** Reads from this size on go into memory that is used again, as an application that reads much would do. */
const LARGE_READ_BYTES = 64 * KIB;

export interface WorkloadSizes {
  readonly sizeBytes: number;
  /** Different keys, or places in the array. */
  readonly keys: number;
}

/** The operations of one client on its own connection. `place` is below `keys`. */
export interface WorkloadClient {
  read(place: number): Promise<unknown>;
  write(place: number): Promise<unknown>;
}

export interface Workload {
  /** Writes every place once. */
  fill(signal: AbortSignal): Promise<void>;
  /** The same data through another connection. */
  client(container: Container): WorkloadClient;
  /** Removes what was written. */
  remove(): Promise<void>;
}

/** `name` keeps this run's keys apart from others in the same container. */
export function keyValueWorkload(container: Container, name: string, sizes: WorkloadSizes, random: Random): Workload {
  const value = randomBytes(sizes.sizeBytes, random);
  const prefix = `${name}:`;
  const digits = String(sizes.keys - 1).length;
  const keyOf = (place: number): string => prefix + String(place).padStart(digits, "0");
  const clientOf = (kv: KeyValue): WorkloadClient => ({
    read: (place) => kv.get(keyOf(place)),
    write: (place) => kv.put(keyOf(place), value),
  });
  return {
    async fill(signal) {
      const kv = container.kv();
      await forEachParallel(places(sizes.keys), FILL_WINDOW, (place) => kv.put(keyOf(place), value, { signal }));
    },
    client: (other) => clientOf(other.kv()),
    async remove() {
      const kv = container.kv();
      const keys: Uint8Array[] = [];
      for await (const key of kv.list({ prefix })) keys.push(key);
      await forEachParallel(keys, FILL_WINDOW, (key) => kv.delete(key));
    },
  };
}

export function arrayWorkload(container: Container, sizes: WorkloadSizes, random: Random): Workload {
  const { sizeBytes, keys } = sizes;
  const id = container.newObjectId("ARRAY_BYTE");
  const bytes = randomBytes(sizeBytes, random);
  // Memory of reads that have ended, for the next ones.
  const free: Uint8Array[] = [];
  const read = async (array: ArrayHandle, place: number): Promise<void> => {
    const into = free.pop() ?? Buffer.allocUnsafeSlow(sizeBytes);
    await array.readInto(place * sizeBytes, into);
    free.push(into);
  };
  const clientOf = (array: ArrayHandle): WorkloadClient => ({
    read: (place) => (sizeBytes > LARGE_READ_BYTES ? read(array, place) : array.read(place * sizeBytes, sizeBytes)),
    write: (place) => array.write(place * sizeBytes, bytes),
  });
  return {
    async fill(signal) {
      const array = container.array(id);
      const count = Math.max(1, Math.floor(FILL_WRITE_BYTES / sizeBytes));
      const run = randomBytes(Math.min(count, keys) * sizeBytes, random);
      const runs = Math.ceil(keys / count);
      await forEachParallel(places(runs), 4, (index) => {
        const left = (keys - index * count) * sizeBytes;
        return array.write(index * count * sizeBytes, run.subarray(0, Math.min(run.length, left)), { signal });
      });
    },
    client: (other) => clientOf(other.array(id)),
    async remove() {
      await container.object(id).punch();
    },
  };
}

function* places(count: number): Generator<number, void, void> {
  for (let place = 0; place < count; place += 1) yield place;
}

function randomBytes(sizeBytes: number, random: Random): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  random.fill(bytes);
  return bytes;
}
