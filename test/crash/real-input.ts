/**
 * Real files through a real engine: each is stored as an array object and as a key of a `kv` container, a snapshot is
 * taken, everything is overwritten or punched, and the engine is killed after each step. What is read back is compared
 * byte for byte with the files, as of the snapshot and as of now, from the log and again when all is settled. Work in
 * flight and memory are bounded.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MAX_DKEY_BYTES, MAX_SINGLE_VALUE_BYTES, MIB } from "../../src/base/limits.ts";
import type { ObjectId } from "../../src/base/object-id.ts";
import { type ContainerView, connect, type Container, type System } from "../../src/library.ts";
import { EngineProcess, type EngineProcessOptions } from "./engine-process.ts";
import { type RealFile, readRealFile } from "./real-files.ts";

export interface RealInputOptions {
  readonly files: readonly RealFile[];
  readonly engine?: Omit<EngineProcessOptions, "storage">;
  /** Size of the pool, bytes; enough for four times the files. */
  readonly poolBytes: number;
  readonly report?: (line: string) => void;
}

export interface RealInputResult {
  readonly files: number;
  /** Of them stored as keys too: small enough, with a path that a key can be. */
  readonly keys: number;
  readonly fileBytes: number;
  /** Bytes read back and compared, over all steps. */
  readonly comparedBytes: number;
  readonly slowestStartMs: number;
  readonly seconds: number;
}

/** What becomes of a file in the second step. */
type Fate = "deleted" | "holed" | "kept" | "replaced";
const FATES: readonly Fate[] = ["deleted", "holed", "kept", "replaced", "replaced", "replaced", "replaced", "replaced"];

const SNAPSHOT = "first";
const IN_FLIGHT = 32;
/** Files from this size on go one at a time, in a stream. */
const LARGE_BYTES = 8 * MIB;

/** Rejects with the first file that is lost or different; the storage is kept then. */
export async function runRealInput(options: RealInputOptions): Promise<RealInputResult> {
  const storage = mkdtempSync(join(tmpdir(), "daos-real-"));
  const run = new RealInputRun(options, storage);
  try {
    const result = await run.run();
    rmSync(storage, { recursive: true, force: true });
    return result;
  } catch (error) {
    throw new Error(`real input failed (storage kept in ${storage})`, { cause: error });
  } finally {
    await run.end();
  }
}

class RealInputRun {
  readonly #options: RealInputOptions;
  readonly #files: readonly RealFile[];
  readonly #storage: string;
  readonly #ids: ObjectId[] = [];
  #engine: EngineProcess | undefined;
  #system: System | undefined;
  #slowestStartMs = 0;
  #comparedBytes = 0;

  constructor(options: RealInputOptions, storage: string) {
    this.#options = options;
    this.#files = options.files;
    this.#storage = storage;
  }

  async run(): Promise<RealInputResult> {
    const startMs = performance.now();
    let container = await this.#start(true);
    await this.#step("store", (place) => this.#store(container, place));
    await container.createSnapshot(SNAPSHOT);
    container = await this.#killAndStart();
    await this.#compareAll("compare", container, (place) => this.#original(place));

    await this.#step("overwrite and punch", (place) => this.#change(container, place));
    container = await this.#killAndStart();
    await this.#compareBoth("after the kill", container);
    // Stopping in good order settles everything: what is compared now comes from the index and the device alone.
    await this.#system!.close();
    await this.#engine!.stop();
    await this.#compareBoth("when settled", await this.#start(false));
    await this.#system!.close();
    await this.#engine!.stop();
    return {
      files: this.#files.length,
      keys: this.#files.filter((file) => isKey(file)).length,
      fileBytes: this.#files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      comparedBytes: this.#comparedBytes,
      slowestStartMs: this.#slowestStartMs,
      seconds: (performance.now() - startMs) / 1000,
    };
  }

  async end(): Promise<void> {
    await this.#engine?.kill();
  }

  async #start(create: boolean): Promise<Container> {
    this.#engine = await EngineProcess.start({ ...this.#options.engine, storage: this.#storage });
    this.#slowestStartMs = Math.max(this.#slowestStartMs, this.#engine.startedMs);
    this.#system = await connect({ system: this.#engine.address });
    if (create) {
      await this.#system.createPool({ label: "tank", sizeBytes: this.#options.poolBytes });
      await this.#system.pool("tank").createContainer({ label: "files", type: "kv" });
    }
    return this.#system.pool("tank").openContainer("files");
  }

  async #killAndStart(): Promise<Container> {
    await this.#engine!.kill();
    await this.#system!.close();
    return this.#start(false);
  }

  /** Small files side by side, then large ones one after the other. */
  async #step(label: string, work: (place: number) => Promise<void>): Promise<void> {
    const startMs = performance.now();
    const places = this.#files.map((_, place) => place);
    const isLarge = (place: number): boolean =>
      Math.max(this.#files[place]!.sizeBytes, this.#replacement(place).sizeBytes) > LARGE_BYTES;
    await inParallel(
      places.filter((place) => !isLarge(place)),
      IN_FLIGHT,
      work,
    );
    await inParallel(places.filter(isLarge), 1, work);
    const seconds = (performance.now() - startMs) / 1000;
    const rate = Math.round(places.length / seconds);
    this.#options.report?.(`${label}: ${places.length} files in ${seconds.toFixed(1)} s, ${rate} files/s`);
  }

  /** Real content for a file that is replaced: that of the next one, longer or shorter. */
  #replacement(place: number): RealFile {
    return this.#files[(place + 1) % this.#files.length]!;
  }

  async #store(container: Container, place: number): Promise<void> {
    const file = this.#files[place]!;
    const bytes = readRealFile(file);
    this.#ids[place] = container.newObjectId("ARRAY_BYTE");
    await container.array(this.#ids[place]).writeStream([bytes]);
    if (isKey(file)) await container.kv().put(file.path, bytes);
  }

  async #change(container: Container, place: number): Promise<void> {
    const file = this.#files[place]!;
    const fate = fateOf(place);
    const array = container.array(this.#ids[place]!);
    if (fate === "deleted") {
      await container.object(array.id).punch();
      if (isKey(file)) await container.kv().delete(file.path);
    } else if (fate === "holed") {
      const [start, end] = holeOf(file.sizeBytes);
      if (end > start) await array.punch(start, end - start);
    } else if (fate === "replaced") {
      const bytes = readRealFile(this.#replacement(place));
      await array.writeStream([bytes]);
      await array.setSize(bytes.length);
      if (isKey(file)) await container.kv().put(file.path, bytes.subarray(0, MAX_SINGLE_VALUE_BYTES));
    }
  }

  #original(place: number): Uint8Array {
    return readRealFile(this.#files[place]!);
  }

  /** What the file's array or key must hold after the second step; undefined: nothing. */
  #latest(place: number, data: "array" | "key"): Uint8Array | undefined {
    const fate = fateOf(place);
    if (fate === "deleted") return undefined;
    if (fate === "replaced") {
      const bytes = readRealFile(this.#replacement(place));
      return data === "array" ? bytes : bytes.subarray(0, MAX_SINGLE_VALUE_BYTES);
    }
    const bytes = readRealFile(this.#files[place]!);
    if (fate === "holed" && data === "array") bytes.fill(0, ...holeOf(bytes.length));
    return bytes;
  }

  async #compareBoth(label: string, container: Container): Promise<void> {
    const snapshot = await container.at(SNAPSHOT);
    await this.#compareAll(`compare snapshot ${label}`, snapshot, (place) => this.#original(place));
    await this.#compareAll(`compare latest ${label}`, container, (place, data) => this.#latest(place, data));
  }

  async #compareAll(
    label: string,
    view: ContainerView,
    expected: (place: number, data: "array" | "key") => Uint8Array | undefined,
  ): Promise<void> {
    const keys: string[] = [];
    await this.#step(label, async (place) => {
      const file = this.#files[place]!;
      await this.#compareArray(`${label}: array of ${file.path}`, view, this.#ids[place]!, expected(place, "array"));
      if (!isKey(file)) return;
      const value = expected(place, "key");
      if (value !== undefined) keys.push(file.path);
      const found = await view.kv().get(file.path);
      this.#compareBytes(`${label}: key ${file.path}`, found?.value, value);
    });
    const listed: string[] = [];
    for await (const key of view.kv().list()) listed.push(Buffer.from(key).toString());
    const inOrder = keys.toSorted((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)));
    const missing = inOrder.findIndex((key, place) => listed[place] !== key);
    if (missing >= 0 || listed.length !== keys.length) {
      throw new Error(
        `${label}: ${listed.length} keys listed, not ${keys.length}; first at ${inOrder[missing] ?? "the end"}`,
      );
    }
  }

  async #compareArray(
    label: string,
    view: ContainerView,
    id: ObjectId,
    expected: Uint8Array | undefined,
  ): Promise<void> {
    const array = view.array(id);
    const sizeBytes = await array.size();
    const wantedBytes = expected?.length ?? 0;
    if (sizeBytes !== wantedBytes) throw new Error(`${label}: has ${sizeBytes} bytes, not ${wantedBytes}`);
    if (expected === undefined) return;
    if (sizeBytes <= LARGE_BYTES) return this.#compareBytes(label, await array.read(0, sizeBytes), expected);
    let position = 0;
    for await (const piece of array.readStream()) {
      this.#compareBytes(`${label} from ${position} on`, piece, expected.subarray(position, position + piece.length));
      position += piece.length;
    }
    if (position !== sizeBytes) throw new Error(`${label}: ${position} bytes came, not ${sizeBytes}`);
  }

  #compareBytes(label: string, found: Uint8Array | undefined, expected: Uint8Array | undefined): void {
    if ((found === undefined) !== (expected === undefined)) {
      throw new Error(`${label}: ${found === undefined ? "is gone" : "is there and was deleted"}`);
    }
    if (found === undefined || expected === undefined) return;
    if (Buffer.compare(found, expected) !== 0)
      throw new Error(`${label}: ${found.length} bytes differ from the file's`);
    this.#comparedBytes += found.length;
  }
}

function fateOf(place: number): Fate {
  return FATES[place % FATES.length]!;
}

/** The middle third. */
function holeOf(sizeBytes: number): [start: number, end: number] {
  return [Math.floor(sizeBytes / 3), Math.floor((sizeBytes * 2) / 3)];
}

function isKey(file: RealFile): boolean {
  return file.sizeBytes <= MAX_SINGLE_VALUE_BYTES && Buffer.byteLength(file.path) <= MAX_DKEY_BYTES;
}

async function inParallel(
  places: readonly number[],
  limit: number,
  work: (place: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < places.length) {
      const place = places[next]!;
      next += 1;
      await work(place);
    }
  };
  await Promise.all(Array.from({ length: limit }, lane));
}
