/**
 * The contract's bounds on keys, values and commits, as every meta-store plugin of ours checks them before it does
 * anything.
 */
import { DaosError } from "../../src/base/errors.ts";
import {
  MAX_META_COMMIT_BYTES,
  MAX_META_COMMIT_COMPARES,
  MAX_META_COMMIT_OPERATIONS,
  MAX_META_KEY_BYTES,
  MAX_META_VALUE_BYTES,
} from "../../src/base/limits.ts";
import type { MetaCompare, MetaOperation } from "../../src/contracts/meta-store.ts";

/** Throws INVALID_ARGUMENT or TOO_LARGE. */
export function checkKey(key: string): void {
  if (key === "" || !key.isWellFormed() || key.includes("\0")) {
    throw new DaosError("INVALID_ARGUMENT", `Cannot use key "${key}": it must be text, not empty and without NUL.`);
  }
  const sizeBytes = Buffer.byteLength(key);
  if (sizeBytes > MAX_META_KEY_BYTES) {
    throw new DaosError("TOO_LARGE", `Cannot use a key of ${sizeBytes} bytes: ${MAX_META_KEY_BYTES} are allowed.`);
  }
}

/** Throws INVALID_ARGUMENT or TOO_LARGE. */
export function checkCommit(compares: readonly MetaCompare[], operations: readonly MetaOperation[]): void {
  checkCount("compares", compares.length, MAX_META_COMMIT_COMPARES);
  checkCount("operations", operations.length, MAX_META_COMMIT_OPERATIONS);
  for (const { key } of compares) checkKey(key);
  const keys = new Set<string>();
  let sizeBytes = 0;
  for (const operation of operations) {
    const key = "put" in operation ? operation.put : operation.remove;
    checkKey(key);
    if (keys.has(key)) throw new DaosError("INVALID_ARGUMENT", `Cannot change "${key}": it is in the commit twice.`);
    keys.add(key);
    sizeBytes += Buffer.byteLength(key);
    if ("remove" in operation) continue;
    if (operation.value.length > MAX_META_VALUE_BYTES) {
      const state = `its value has ${operation.value.length} bytes, ${MAX_META_VALUE_BYTES} are allowed`;
      throw new DaosError("TOO_LARGE", `Cannot put "${key}": ${state}. Split it.`);
    }
    sizeBytes += operation.value.length;
  }
  checkCount("bytes of keys and values", sizeBytes, MAX_META_COMMIT_BYTES);
}

/** Throws INVALID_ARGUMENT. */
export function checkLeaseTtl(ttlMs: number): void {
  if (Number.isSafeInteger(ttlMs) && ttlMs > 0) return;
  throw new DaosError("INVALID_ARGUMENT", `Cannot grant a lease of ${ttlMs} ms: use a whole number above zero.`);
}

function checkCount(what: string, count: number, most: number): void {
  if (count <= most) return;
  throw new DaosError("TOO_LARGE", `Cannot commit ${count} ${what} at once: ${most} are allowed. Split the commit.`);
}
