/** What an object under test should hold, in memory: values and byte arrays by dkey and akey. */

export class ModelArray {
  bytes = Buffer.alloc(0);
  /** 1 where there is data. */
  written = Buffer.alloc(0);

  write(start: number, bytes: Uint8Array): void {
    this.#grow(start + bytes.length);
    this.bytes.set(bytes, start);
    this.written.fill(1, start, start + bytes.length);
  }

  punch(start: number, length: number): void {
    this.bytes.subarray(start, start + length).fill(0);
    this.written.subarray(start, start + length).fill(0);
  }

  read(start: number, length: number): Buffer | undefined {
    if (!this.written.subarray(start, start + length).includes(1)) return undefined;
    const result = Buffer.alloc(length);
    this.bytes.copy(result, 0, start, start + length);
    return result;
  }

  /** Runs of records that hold data, and touch no other. */
  runs(recordBytes: number): { index: number; count: number }[] {
    const runs: { index: number; count: number }[] = [];
    const isThere = (record: number): boolean =>
      this.written.subarray(record * recordBytes, (record + 1) * recordBytes).includes(1);
    for (let record = 0; record * recordBytes < this.written.length; record += 1) {
      if (!isThere(record)) continue;
      const last = runs.at(-1);
      if (last !== undefined && last.index + last.count === record) last.count += 1;
      else runs.push({ index: record, count: 1 });
    }
    return runs;
  }

  copy(): ModelArray {
    const copy = new ModelArray();
    copy.bytes = Buffer.from(this.bytes);
    copy.written = Buffer.from(this.written);
    return copy;
  }

  #grow(length: number): void {
    const missing = Buffer.alloc(Math.max(0, length - this.bytes.length));
    this.bytes = Buffer.concat([this.bytes, missing]);
    this.written = Buffer.concat([this.written, missing]);
  }
}

export class ModelObject {
  readonly values = new Map<string, Uint8Array>();
  readonly arrays = new Map<string, ModelArray>();

  array(place: string): ModelArray {
    let array = this.arrays.get(place);
    if (array === undefined) this.arrays.set(place, (array = new ModelArray()));
    return array;
  }

  /** Everything under keys that begin so: `dkey/akey`, or `dkey/`. */
  punch(prefix: string): void {
    for (const map of [this.values, this.arrays]) {
      for (const place of map.keys())
        if (place === prefix || (prefix.endsWith("/") && place.startsWith(prefix))) map.delete(place);
    }
  }

  /** `dkey/akey` of all that holds something. */
  places(): string[] {
    const arrays = [...this.arrays].filter(([, { written }]) => written.includes(1)).map(([place]) => place);
    return [...this.values.keys(), ...arrays].toSorted();
  }

  copy(): ModelObject {
    const copy = new ModelObject();
    for (const [place, value] of this.values) copy.values.set(place, value);
    for (const [place, array] of this.arrays) copy.arrays.set(place, array.copy());
    return copy;
  }
}
