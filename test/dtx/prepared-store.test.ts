import { expect, test } from "bun:test";
import type { DtxId } from "../../src/base/dtx-id.ts";
import { DaosError } from "../../src/base/errors.ts";
import { preparedStore } from "../../src/dtx/prepared-store.ts";
import type { CellStore } from "../../src/store/cell.ts";

test("preparedStore: decides under a plain id, also for an update whose names are getters", () => {
  const decided: DtxId[] = [];
  const transactions = { decide: (id: DtxId) => decided.push(id) };
  const update = new (class {
    get client(): number {
      return 7;
    }
    get sequence(): number {
      return 8;
    }
  })();
  preparedStore({ transactions } as unknown as CellStore).decide(update, "commit");
  expect({ ...decided[0]! }).toEqual({ client: 7, sequence: 8 });
});

test("preparedStore: decisions that cannot be logged are an answer, not an exception", () => {
  const full = new DaosError("NO_SPACE", "Cannot log the decisions: the log is full.");
  const transactions = {
    logDecisions: () => {
      throw full;
    },
  };
  const store = preparedStore({ transactions } as unknown as CellStore);
  const told: unknown[] = [];
  store.whenDecisionsDurable((error) => told.push(error));
  store.whenAllDurable((error) => told.push(error));
  expect(told).toEqual([full, full]);
});
