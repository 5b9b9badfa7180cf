/**
 * What `npm run test:leaks` repeats millions of times on the ISA-L addon: checksums, encoding, reconstruction from kept
 * and from new tables, and calls that are refused.
 */
import { loadIsalAddon } from "./addon.ts";
import { isalCodec } from "./isal-codec.ts";
import type { LeakCheck } from "../leak-check.ts";

const CELL_BYTES = 256;

export const leakCheck: LeakCheck = {
  start: () => {
    const result = loadIsalAddon();
    if ("reason" in result) return { reason: result.reason };
    const { addon } = result;
    const codec = isalCodec(addon);
    const code = codec.erasureCode(4, 2);
    const cells = Array.from({ length: 6 }, () => new Uint8Array(CELL_BYTES));
    const data = cells.slice(0, 4);
    const parity = cells.slice(4);
    const outputs = [new Uint8Array(CELL_BYTES)];
    const tables = new Uint8Array(32 * 4);
    const survivors = Uint8Array.of(1, 2, 3, 4);
    const lost = Uint8Array.of(0);
    const operations = {
      crc32c: () => codec.crc32c(cells[0]!),
      "crc32c of a new view": () => codec.crc32c(new Uint8Array(CELL_BYTES)),
      encode: () => code.encode(data, parity),
      reconstruct: () => code.reconstruct([1, 2, 3, 4], cells.slice(1, 5), [0], outputs),
      "tables made": () => addon.makeDecodeTables(4, 2, survivors, lost, tables),
      "refused call": () => {
        try {
          addon.crc32c(undefined as unknown as Uint8Array);
        } catch {
          // Counted by nobody: what matters is that nothing stays behind.
        }
      },
    };
    return { operations };
  },
};
