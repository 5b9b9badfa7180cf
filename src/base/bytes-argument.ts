/**
 * Refusals of arguments that should be bytes. Programs without type checks pass text, numbers or array buffers; stored as
 * they come they would be other bytes than those meant, so that only a Uint8Array (or Buffer) is taken.
 */
import { DaosError } from "./errors.ts";

/** The error for `value`, which is no Uint8Array. `action` ends "Cannot ...". */
export function notBytes(action: string, value: unknown): DaosError {
  const state = `${kindOf(value)} was given instead of bytes`;
  return new DaosError(
    "INVALID_ARGUMENT",
    `Cannot ${action}: ${state}. Pass a Uint8Array or Buffer; for text, Buffer.from(text).`,
  );
}

/** What kind of thing a value is, for messages: "string", "undefined", "ArrayBuffer". */
export function kindOf(value: unknown): string {
  if (value === null || typeof value !== "object") return value === null ? "null" : typeof value;
  return Object.prototype.toString.call(value).slice(8, -1);
}
