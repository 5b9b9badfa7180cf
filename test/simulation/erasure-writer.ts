/** Random updates of one erasure-coded object, the model's and the cluster's. */
import type { ObjectHandle } from "../../src/client/object-handle.ts";
import type { TransactionObject } from "../../src/client/transaction.ts";
import { Transactions } from "../../src/client/transactions.ts";
import { ModelObject } from "./erasure-model.ts";
import type { ErasureRig } from "./erasure-rig.ts";

export const RECORD_BYTES = 100;
export const DKEYS = ["a", "b", "c"];

/** What has an object's updates: the object itself, or a transaction. */
type Updatable = ObjectHandle | TransactionObject;
type Change = (object: Updatable) => Promise<unknown>;

/** Random updates of one object, the model's and the cluster's: one by one, or some dkeys at a time. */
export class ErasureWriter {
  readonly model = new ModelObject();
  readonly #rig: ErasureRig;
  readonly #object: ObjectHandle;
  readonly #transactions: Transactions | undefined;

  constructor(own: ErasureRig, object: ObjectHandle, how: "singly" | "in transactions" = "singly") {
    this.#rig = own;
    this.#object = object;
    this.#transactions = how === "singly" ? undefined : new Transactions(own.session);
  }

  async step(): Promise<void> {
    const { random } = this.#rig;
    if (this.#transactions === undefined) {
      await this.#change(DKEYS[random.below(DKEYS.length)]!)(this.#object);
      return;
    }
    const dkeys = DKEYS.toSorted(() => random.next() - 0.5).slice(random.below(DKEYS.length));
    const changes = dkeys.map((dkey) => this.#change(dkey));
    await this.#transactions.run(async (transaction) => {
      const object = transaction.object(this.#object.id);
      for (const change of changes) await change(object);
    });
  }

  /** Changes the model; how the cluster is changed. */
  #change(dkey: string): Change {
    const { random } = this.#rig;
    const draw = random.next();
    if (draw < 0.25) return this.#update(dkey);
    if (draw < 0.8) return this.#write(dkey);
    if (draw < 0.93) return this.#punch(dkey);
    if (draw < 0.97) {
      const akey = random.next() < 0.5 ? "array" : "value";
      this.model.punch(`${dkey}/${akey}`);
      return (object) => object.punchAkey(dkey, akey);
    }
    this.model.punch(`${dkey}/`);
    return (object) => object.punchDkey(dkey);
  }

  #bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length);
    this.#rig.random.fill(bytes);
    return bytes;
  }

  #update(dkey: string): Change {
    const { random } = this.#rig;
    const value = this.#bytes([0, 10, 4_096, 4_097, 30_000][random.below(5)]!);
    this.model.values.set(`${dkey}/value`, value);
    return (object) => object.update(dkey, "value", value);
  }

  /** Whole stripes of 2 and 4 cells of 4 KiB are 8,192 and 16,384 bytes; records are of 100 bytes. */
  #range(): { index: number; count: number } {
    const { random } = this.#rig;
    if (random.next() < 0.3) return { index: 0, count: 400 };
    const index = random.below(350);
    return { index, count: 1 + random.below(random.next() < 0.5 ? 5 : 200) };
  }

  #write(dkey: string): Change {
    const { index, count } = this.#range();
    const bytes = this.#bytes(count * RECORD_BYTES);
    this.model.array(`${dkey}/array`).write(index * RECORD_BYTES, bytes);
    return (object) => object.writeArray(dkey, "array", { recordIndex: index, recordBytes: RECORD_BYTES }, bytes);
  }

  #punch(dkey: string): Change {
    const { index, count } = this.#range();
    this.model.array(`${dkey}/array`).punch(index * RECORD_BYTES, count * RECORD_BYTES);
    const range = { recordIndex: index, recordCount: count, recordBytes: RECORD_BYTES };
    return (object) => object.punchArray(dkey, "array", range);
  }
}
