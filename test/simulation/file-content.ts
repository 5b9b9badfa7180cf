/**
 * What one simulated file holds: for each 4 KiB page the durable bytes and the versions written since, in order. A crash
 * leaves each 512-byte sector of a page as it was in any one of them, which is all that a disk promises.
 */
import type { SimulatedRandom } from "./random.ts";

export const PAGE_BYTES = 4096;
export const SECTOR_BYTES = 512;
const ZEROS = new Uint8Array(PAGE_BYTES);

interface PageVersion {
  readonly sequence: number;
  readonly bytes: Uint8Array;
  /** Its write has returned. */
  completed: boolean;
}

interface Page {
  durable: Uint8Array;
  versions: PageVersion[];
}

/** What a crash does to sectors that were not synced: `torn` decides for each of them. */
export type CrashOutcome = "lost" | "kept" | "torn";

export class FileContent {
  readonly #pages = new Map<number, Page>();
  /** Pages that have unsynced versions. */
  readonly #dirty = new Set<number>();
  size = 0;
  #durableSize = 0;

  /** Pages that take space. */
  get pageCount(): number {
    return this.#pages.size;
  }

  hasPage(index: number): boolean {
    return this.#pages.has(index);
  }

  read(into: Uint8Array, offset: number): number {
    const count = Math.max(0, Math.min(into.length, this.size - offset));
    for (let done = 0; done < count;) {
      const index = Math.floor((offset + done) / PAGE_BYTES);
      const start = (offset + done) % PAGE_BYTES;
      const length = Math.min(PAGE_BYTES - start, count - done);
      into.set(this.#visible(index).subarray(start, start + length), done);
      done += length;
    }
    return count;
  }

  /** Begins a write: from now on a crash may show it, whole or in part. Complete it with the same sequence. */
  beginWrite(sequence: number, bytes: Uint8Array, offset: number): void {
    for (let done = 0; done < bytes.length;) {
      const index = Math.floor((offset + done) / PAGE_BYTES);
      const start = (offset + done) % PAGE_BYTES;
      const length = Math.min(PAGE_BYTES - start, bytes.length - done);
      const version = this.#newest(index).slice();
      version.set(bytes.subarray(done, done + length), start);
      this.#pageFor(index).versions.push({ sequence, bytes: version, completed: false });
      this.#dirty.add(index);
      done += length;
    }
  }

  /** The write has returned: reads show it; `durable` writes are safe. */
  completeWrite(sequence: number, offset: number, length: number, durable: boolean): void {
    this.size = Math.max(this.size, offset + length);
    if (durable) this.#durableSize = Math.max(this.#durableSize, offset + length);
    const last = Math.floor((offset + length - 1) / PAGE_BYTES);
    for (let index = Math.floor(offset / PAGE_BYTES); index <= last; index += 1) {
      for (const version of this.#pages.get(index)?.versions ?? []) {
        if (version.sequence === sequence) version.completed = true;
      }
      if (durable) this.#settle(index, sequence);
    }
  }

  /** Everything completed up to this sequence is durable. */
  sync(sequence: number, sizeBytes: number): void {
    this.#durableSize = sizeBytes;
    for (const index of this.#dirty) this.#settle(index, sequence);
  }

  truncate(sizeBytes: number): void {
    for (const index of this.#pages.keys()) {
      if (index * PAGE_BYTES >= sizeBytes) this.#drop(index);
    }
    const kept = sizeBytes % PAGE_BYTES;
    const page = this.#pages.get(Math.floor(sizeBytes / PAGE_BYTES));
    if (sizeBytes < this.size && kept > 0 && page !== undefined) {
      page.durable = cut(page.durable, kept);
      page.versions = page.versions.map((version) => ({ ...version, bytes: cut(version.bytes, kept) }));
    }
    this.size = sizeBytes;
    this.#durableSize = Math.min(this.#durableSize, sizeBytes);
  }

  /** Frees whole pages. The hole is durable at once or not: zeros and old bytes are both right after a crash. */
  punch(offset: number, length: number): void {
    const first = Math.ceil(offset / PAGE_BYTES);
    const end = Math.floor((offset + length) / PAGE_BYTES);
    for (let index = first; index < end; index += 1) this.#drop(index);
  }

  /** Loses power: unsynced sectors become what `outcome` says, everything else is durable. */
  crash(random: SimulatedRandom, outcome: CrashOutcome): void {
    for (const index of this.#dirty) {
      const page = this.#pages.get(index);
      if (page === undefined) continue;
      if (outcome === "kept") page.durable = this.#newest(index);
      if (outcome === "torn") page.durable = torn(random, page);
      page.versions = [];
    }
    this.#dirty.clear();
    const grown = outcome === "kept" || (outcome === "torn" && random.next() < 0.5);
    if (!grown) this.truncate(this.#durableSize);
    this.#durableSize = this.size;
  }

  #pageFor(index: number): Page {
    let page = this.#pages.get(index);
    if (page === undefined) {
      page = { durable: ZEROS, versions: [] };
      this.#pages.set(index, page);
    }
    return page;
  }

  #visible(index: number): Uint8Array {
    const page = this.#pages.get(index);
    return page?.versions.findLast((version) => version.completed)?.bytes ?? page?.durable ?? ZEROS;
  }

  #newest(index: number): Uint8Array {
    const page = this.#pages.get(index);
    return page?.versions.at(-1)?.bytes ?? page?.durable ?? ZEROS;
  }

  /** Makes the newest completed version up to `sequence` the durable one. */
  #settle(index: number, sequence: number): void {
    const page = this.#pages.get(index);
    if (page === undefined) return;
    const last = page.versions.findLastIndex((version) => version.completed && version.sequence <= sequence);
    if (last < 0) return;
    page.durable = page.versions[last]!.bytes;
    page.versions = page.versions.slice(last + 1);
    if (page.versions.length === 0) this.#dirty.delete(index);
  }

  #drop(index: number): void {
    this.#pages.delete(index);
    this.#dirty.delete(index);
  }
}

function cut(bytes: Uint8Array, keptBytes: number): Uint8Array {
  return bytes.slice().fill(0, keptBytes);
}

function torn(random: SimulatedRandom, page: Page): Uint8Array {
  const result = page.durable.slice();
  for (let start = 0; start < PAGE_BYTES; start += SECTOR_BYTES) {
    const choice = random.below(page.versions.length + 1);
    const source = choice === 0 ? page.durable : page.versions[choice - 1]!.bytes;
    result.set(source.subarray(start, start + SECTOR_BYTES), start);
  }
  return result;
}
