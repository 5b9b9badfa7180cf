/** What a container's class, cells and chunks make of each other. */
import { expect, test } from "bun:test";
import { containerRedundancy } from "../../src/control/container-redundancy.ts";
import { poolMap } from "../placement/pool-maps.ts";
import { expectCode } from "../store/expect-code.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const derived = (properties: Record<string, string | number>, engines = 20, poolFactor = 0) =>
  containerRedundancy({ ...properties }, poolFactor, poolMap([engines], 1));
const refused = (properties: Record<string, string | number>, engines = 20): string =>
  expectCode("INVALID_ARGUMENT", () => derived(properties, engines)).message;

test("a class that the pool cannot hold is refused with the numbers", () => {
  expect(refused({ oclass: "EC_4P2GX" }, 5)).toBe(
    'Cannot use object class "EC_4P2GX": EC_4P2 needs 6 fault domains, the pool has 5 (its engines). ' +
      "Add engines, or use EC_4P1.",
  );
  expect(refused({ rd_fac: 3 }, 3)).toContain("RP_4 needs 4 fault domains, the pool has 3");
  expect(derived({ oclass: "EC_4P2GX" }, 6)).toEqual({ rd_fac: 2, oclass: "EC_4P2GX" });
});

test("a stripe that no request can hold is refused", () => {
  expect(refused({ oclass: "EC_16P2GX", ec_cell_sz: 512 * KIB })).toBe(
    'Cannot use object class "EC_16P2GX": its stripe of 16 cells of 512 KiB is larger than a request, 4 MiB. ' +
      "Use an ec_cell_sz of at most 256 KiB, or a class of fewer data shards.",
  );
  expect(derived({ oclass: "EC_16P2GX", ec_cell_sz: 256 * KIB })).toMatchObject({ chunk_size: 4 * MIB });
});

test("chunks are whole stripes: by themselves, or refused when they were named", () => {
  expect(derived({ oclass: "EC_4P2GX" })).toEqual({ rd_fac: 2, oclass: "EC_4P2GX" });
  expect(derived({ oclass: "EC_16P1GX" })).toEqual({ rd_fac: 1, oclass: "EC_16P1GX", chunk_size: 2 * MIB });
  expect(derived({ oclass: "EC_2P1GX", ec_cell_sz: 96 * KIB }).chunk_size).toBe(6 * 192 * KIB);
  expect(refused({ oclass: "EC_4P2GX", chunk_size: 64 * KIB })).toBe(
    "Cannot use object class EC_4P2GX: chunks of 64 KiB are no whole number of its stripes of 512 KiB. " +
      "Use a chunk_size of 512 KiB, or another ec_cell_sz.",
  );
  expect(derived({ oclass: "EC_4P2GX", chunk_size: 64 * KIB, ec_cell_sz: 16 * KIB }).chunk_size).toBeUndefined();
  expect(derived({ oclass: "RP_2GX", chunk_size: 4 * KIB }).chunk_size).toBeUndefined();
  expect(derived({ oclass: "SX", chunk_size: 4 * KIB })).toEqual({ rd_fac: 0, oclass: "SX" });
});
