/** What a container is to hold, values and an array, with snapshots: written, and looked at while engines come and go. */
import { expect } from "bun:test";
import type { ObjectId } from "../../src/base/object-id.ts";
import type { Container, ContainerView, System } from "../../src/library.ts";
import { until } from "./system-process.ts";

const KEYS = 60;
const ARRAY_BYTES = 3 * 1024 * 1024 + 4567;

interface Content {
  readonly values: ReadonlyMap<string, string>;
  readonly array: Buffer;
}

/** What the container is to hold, and what its snapshots show. */
export class Ledger {
  readonly values = new Map<string, string>();
  readonly array = Buffer.alloc(ARRAY_BYTES);
  readonly #snapshots = new Map<string, Content>();
  readonly #container: Container;
  readonly #arrayId: ObjectId;

  constructor(container: Container) {
    this.#container = container;
    this.#arrayId = container.newObjectId("ARRAY_BYTE");
  }

  /** Writes most keys anew, some large, and removes the rest. */
  async change(round: number): Promise<void> {
    for (let index = 0; index < KEYS; index += 1) {
      const key = `key ${index}`;
      if ((index + round) % 5 === 0) {
        if (!this.values.delete(key)) continue;
        await this.#container.kv().delete(key);
      } else if (round === 0 || index % 2 === round % 2) {
        const value = `${key} in round ${round} `.repeat(index % 28 === 0 ? 60_000 : index % 7 === 0 ? 1000 : 1);
        await this.#container.kv().put(key, Buffer.from(value));
        this.values.set(key, value);
      }
    }
    await this.#changeArray(round);
  }

  /** Whole chunks, and pieces of stripes in others. */
  async #changeArray(round: number): Promise<void> {
    const array = this.#container.array(this.#arrayId);
    const ranges =
      round === 0
        ? [[0, ARRAY_BYTES]]
        : [
            [round * 700_001, 300_000],
            [round * 123_457, 7],
            [1_048_576, 2 ** 20],
          ];
    for (const [start, length] of ranges) {
      const bytes = Buffer.alloc(length!, `round ${round} at ${start} `);
      await array.write(start!, bytes);
      bytes.copy(this.array, start);
    }
  }

  async snapshot(label: string): Promise<void> {
    await this.#container.createSnapshot(label);
    this.#snapshots.set(label, { values: new Map(this.values), array: Buffer.from(this.array) });
  }

  /** Everything is there, and nothing else. */
  async expectAll(): Promise<void> {
    await this.#expect(this.#container, this);
    for (const [label, content] of this.#snapshots) await this.#expect(await this.#container.at(label), content);
  }

  async #expect(container: ContainerView, { values, array }: Content): Promise<void> {
    await expectValues(container, values);
    const found = Buffer.from(await container.array(this.#arrayId).read(0, ARRAY_BYTES));
    expect(found.equals(array)).toBe(true);
  }
}

async function expectValues(container: ContainerView, values: ReadonlyMap<string, string>): Promise<void> {
  const wrong: string[] = [];
  for (let index = 0; index < KEYS; index += 1) {
    const key = `key ${index}`;
    const found = await container.kv().get(key);
    const text = found === undefined ? undefined : Buffer.from(found.value).toString();
    if (text !== values.get(key)) wrong.push(key);
  }
  expect(wrong).toEqual([]);
  const listed = await Array.fromAsync(container.kv().list(), (key) => Buffer.from(key).toString());
  expect(listed).toEqual([...values.keys()].toSorted());
}

export async function untilRebuild(system: System, state: string): Promise<void> {
  let seen = "";
  await until(
    async () => {
      const { rebuild } = await system.pool("tank").query();
      seen = JSON.stringify(rebuild);
      return rebuild?.state === state;
    },
    () => seen,
  );
}
