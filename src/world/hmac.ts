/**
 * HMAC-SHA-256 (RFC 2104, FIPS 180-4), the runtime's.
 */
import { createHmac } from "node:crypto";

/** 32 bytes. */
export function hmacSha256(key: Uint8Array, bytes: Uint8Array): Uint8Array {
  return createHmac("sha256", key).update(bytes).digest();
}
