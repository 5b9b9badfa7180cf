/** What every settled index must do; run on the model and on LMDB. */
import { expect, test } from "bun:test";
import type { ByteString } from "../../src/base/bytes.ts";
import { DaosError } from "../../src/base/errors.ts";
import { MAX_CELL_KEY_BYTES } from "../../src/base/limits.ts";
import type { SettledIndex } from "../../src/store/settled-index.ts";
import { expectCode } from "./expect-code.ts";

export interface IndexFixture {
  readonly index: SettledIndex;
  /** The same tables, opened again. */
  reopen(): Promise<SettledIndex>;
  remove(): Promise<void>;
}

const NONE = "" as ByteString;

function name(text: string): ByteString {
  return text as ByteString;
}

function keysOf(index: SettledIndex, from: string, to: string, reverse: boolean): string[] {
  const found: string[] = [];
  const cursor = index.cursor("cells", name(from), name(to), reverse);
  for (; cursor.key !== undefined; cursor.next()) found.push(cursor.key);
  return found;
}

/** Declares the tests. `open` makes an empty index of `totalBytes`. */
export function settledIndexSuite(kind: string, open: (totalBytes: number) => Promise<IndexFixture>): void {
  async function using(run: (fixture: IndexFixture) => Promise<void> | void, totalBytes = 16 << 20): Promise<void> {
    const fixture = await open(totalBytes);
    try {
      await run(fixture);
    } finally {
      await fixture.remove();
    }
  }

  test(`${kind}: rows of a transaction are there, in memory of their own, also after reopening`, () =>
    using(async (fixture) => {
      const long = name("k".repeat(MAX_CELL_KEY_BYTES + 8));
      fixture.index.transact((transaction) => {
        transaction.put("cells", name("\x00\xff"), Buffer.from("one"));
        transaction.put("history", name("\x00\xff"), Buffer.from("other table"));
        transaction.put("cells", long, Buffer.alloc(100_000, 7));
        transaction.put("cells", name("empty"), Buffer.alloc(0));
        expect(Buffer.from(transaction.get("cells", name("\x00\xff"))!).toString()).toBe("one");
      });
      fixture.index.refresh();
      const first = fixture.index.get("cells", name("\x00\xff"))!;
      expect(fixture.index.get("cells", long)).toEqual(Buffer.alloc(100_000, 7));
      expect(Buffer.from(first).toString()).toBe("one");
      const again = await fixture.reopen();
      expect(Buffer.from(again.get("history", name("\x00\xff"))!).toString()).toBe("other table");
      expect(again.get("cells", name("empty"))!.length).toBe(0);
      expect(again.get("cells", name("absent"))).toBeUndefined();
    }));

  test(`${kind}: cursors walk ranges both ways, bounds as given`, () =>
    using(({ index }) => {
      const all = ["a", "a\x00", "b", "b\x00\x00", "c", "\xff"];
      index.transact((transaction) => {
        for (const key of all.toReversed()) transaction.put("cells", name(key), Buffer.from(key));
      });
      index.refresh();
      for (const from of ["", "a", "a\x01", "b", "c\x00"]) {
        for (const to of ["", "a", "b", "b\x00", "\xff", "\xff\xff"]) {
          const expected = all.filter((key) => key >= from && (to === "" || key < to));
          if (to !== "" && from >= to) continue;
          expect(keysOf(index, from, to, false)).toEqual(expected);
          expect(keysOf(index, from, to, true)).toEqual(expected.toReversed());
        }
      }
    }));

  test(`${kind}: cursors may be left early and stand in each other's way nowhere`, () =>
    using(({ index }) => {
      index.transact((transaction) => {
        for (let number = 0; number < 50; number += 1) {
          transaction.put("cells", name(`k${number + 10}`), Buffer.from(`${number}`));
        }
      });
      index.refresh();
      const outer = index.cursor("cells", NONE, NONE, false);
      for (let count = 0; count < 5; count += 1) {
        const inner = index.cursor("cells", name("k30"), NONE, true);
        inner.next();
        expect(inner.key).toBe(name("k58"));
        inner.close();
        expect(Buffer.from(index.get("cells", name("k20"))!).toString()).toBe("10");
        expect(outer.key).toBe(name(`k${10 + count}`));
        expect(Buffer.from(outer.value).toString()).toBe(`${count}`);
        outer.next();
      }
      outer.close();
      expect(outer.key).toBeUndefined();
    }));

  test(`${kind}: a transaction that throws never happened`, () =>
    using(({ index }) => {
      index.transact((transaction) => transaction.put("cells", name("a"), Buffer.from("1")));
      expect(() =>
        index.transact((transaction) => {
          transaction.put("cells", name("a"), Buffer.from("2"));
          transaction.put("cells", name("b"), Buffer.from("2"));
          transaction.remove("cells", name("a"));
          throw new DaosError("CORRUPT", "Cannot go on: planted. Look here.");
        }),
      ).toThrow("planted");
      index.refresh();
      expect(Buffer.from(index.get("cells", name("a"))!).toString()).toBe("1");
      expect(index.get("cells", name("b"))).toBeUndefined();
    }));

  test(`${kind}: over its size a transaction is NO_SPACE and never happened; removing makes room again`, () =>
    using(({ index }) => {
      const put = (from: number, count: number): void =>
        index.transact((transaction) => {
          for (let number = from; number < from + count; number += 1) {
            transaction.put("cells", name(`k${number}`), Buffer.alloc(1000));
          }
        });
      put(0, 100);
      expectCode("NO_SPACE", () => put(1000, 2000));
      index.refresh();
      expect(index.get("cells", name("k1000"))).toBeUndefined();
      expect(index.get("cells", name("k99"))).toBeDefined();
      index.transact((transaction) => {
        for (let number = 0; number < 100; number += 1) transaction.remove("cells", name(`k${number}`));
      });
      const { totalBytes, usedBytes } = index.space();
      expect(usedBytes).toBeLessThan(totalBytes / 2);
      put(2000, 100);
    }, 1 << 20));

  test(`${kind}: removing what is not there is no error`, () =>
    using(({ index }) => {
      index.transact((transaction) => transaction.remove("cells", name("absent")));
      expect(keysOf(index, "", "", false)).toEqual([]);
    }));
}
