import { expect, test } from "bun:test";
import fc from "fast-check";
import type { ByteString } from "../../src/base/bytes.ts";
import { SortedRuns } from "../../src/store/sorted-runs.ts";

test("items of any runs come out in the order of their keys, each once", () => {
  fc.assert(
    fc.property(fc.array(fc.array(fc.string({ maxLength: 3 }))), (lists) => {
      const runs = new SortedRuns<{ key: ByteString }>();
      for (const list of lists) runs.add(list.map((text) => ({ key: text as ByteString })));
      const found: string[] = [];
      for (let item = runs.peek(); item !== undefined; item = runs.peek()) {
        expect(runs.take()).toBe(item);
        found.push(item.key);
      }
      expect(runs.take()).toBeUndefined();
      expect(found).toEqual(lists.flat().sort());
    }),
  );
});
