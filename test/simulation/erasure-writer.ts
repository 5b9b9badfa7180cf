/** Random updates of one erasure-coded object, the model's and the cluster's. */
import type { ObjectHandle } from "../../src/client/object-handle.ts";
import { ModelObject } from "./erasure-model.ts";
import type { ErasureRig } from "./erasure-rig.ts";

export const RECORD_BYTES = 100;
export const DKEYS = ["a", "b", "c"];

export class ErasureWriter {
  readonly model = new ModelObject();
  readonly #rig: ErasureRig;
  readonly #object: ObjectHandle;

  constructor(own: ErasureRig, object: ObjectHandle) {
    this.#rig = own;
    this.#object = object;
  }

  async step(): Promise<void> {
    const { random } = this.#rig;
    const dkey = DKEYS[random.below(DKEYS.length)]!;
    const draw = random.next();
    if (draw < 0.25) await this.#update(dkey);
    else if (draw < 0.8) await this.#write(dkey);
    else if (draw < 0.93) await this.#punch(dkey);
    else if (draw < 0.97) {
      const akey = random.next() < 0.5 ? "array" : "value";
      this.model.punch(`${dkey}/${akey}`);
      await this.#object.punchAkey(dkey, akey);
    } else {
      this.model.punch(`${dkey}/`);
      await this.#object.punchDkey(dkey);
    }
  }

  #bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length);
    this.#rig.random.fill(bytes);
    return bytes;
  }

  async #update(dkey: string): Promise<void> {
    const { random } = this.#rig;
    const value = this.#bytes([0, 10, 4_096, 4_097, 30_000][random.below(5)]!);
    this.model.values.set(`${dkey}/value`, value);
    await this.#object.update(dkey, "value", value);
  }

  /** Whole stripes of 2 and 4 cells of 4 KiB are 8,192 and 16,384 bytes; records are of 100 bytes. */
  #range(): { index: number; count: number } {
    const { random } = this.#rig;
    if (random.next() < 0.3) return { index: 0, count: 400 };
    const index = random.below(350);
    return { index, count: 1 + random.below(random.next() < 0.5 ? 5 : 200) };
  }

  async #write(dkey: string): Promise<void> {
    const { index, count } = this.#range();
    const bytes = this.#bytes(count * RECORD_BYTES);
    this.model.array(`${dkey}/array`).write(index * RECORD_BYTES, bytes);
    await this.#object.writeArray(dkey, "array", { recordIndex: index, recordBytes: RECORD_BYTES }, bytes);
  }

  async #punch(dkey: string): Promise<void> {
    const { index, count } = this.#range();
    this.model.array(`${dkey}/array`).punch(index * RECORD_BYTES, count * RECORD_BYTES);
    const range = { recordIndex: index, recordCount: count, recordBytes: RECORD_BYTES };
    await this.#object.punchArray(dkey, "array", range);
  }
}
