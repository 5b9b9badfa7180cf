/** Targets that forget which requests of which clients were completed, as those do that have too many clients. */
import type { RequestTable } from "../../../../src/store/request-table.ts";
import type { FaultKind, FaultParts } from "./fault-kind.ts";

export function forgetKind({ note }: FaultParts): FaultKind {
  return {
    name: "forget",
    weight: 1,
    strike: ({ life, name }) => {
      if (life === undefined) return;
      note("forget", name);
      const table = life.store.requests as RequestTable;
      table.age();
      table.age();
    },
  };
}
