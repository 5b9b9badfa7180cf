/**
 * Capability: what `containerOpen` gives a client and every target checks by itself. Little-endian; opaque to clients.
 *
 *      0  u32 magic "DCAP"       4  u16 version          6  u16 rights (Right)
 *      8  u32 container number  12  u32 pool map version 16  u64 end of validity, milliseconds since 1970
 *     24  16 bytes pool id      40  16 bytes container id 56  8 random bytes
 *     64  HMAC-SHA-256 of bytes 0..63 under the system's key
 *
 * This file knows the layout; src/control/capability-authority.ts signs and judges.
 */
import { asBuffer } from "../base/bytes.ts";
import { DaosError } from "../base/errors.ts";
import { type Uuid, uuidFromBytes, writeUuid } from "../base/uuid.ts";

export const CAPABILITY_MAGIC = 0x50414344;
export const CAPABILITY_VERSION = 1;
export const CAPABILITY_SIGNED_BYTES = 64;
export const CAPABILITY_TAG_BYTES = 32;
export const CAPABILITY_BYTES = CAPABILITY_SIGNED_BYTES + CAPABILITY_TAG_BYTES;
export const CAPABILITY_NONCE_BYTES = 8;

/** `target`: its holder is a target of the system, and no client. */
export const Right = { read: 1, write: 2, target: 4 } as const;
const KNOWN_RIGHTS = Right.read | Right.write | Right.target;

export interface Capability {
  /** Bits of Right. */
  readonly rights: number;
  readonly containerNumber: number;
  readonly mapVersion: number;
  readonly expiresAtMs: number;
  readonly pool: Uuid;
  readonly container: Uuid;
}

/** The bytes to be signed, with room for the tag behind them (zeros). */
export function encodeCapability(capability: Capability, nonce: Uint8Array): Buffer {
  const into = Buffer.alloc(CAPABILITY_BYTES);
  const expiresAtMs = Math.floor(capability.expiresAtMs);
  into.writeUInt32LE(CAPABILITY_MAGIC, 0);
  into.writeUInt16LE(CAPABILITY_VERSION, 4);
  into.writeUInt16LE(capability.rights, 6);
  into.writeUInt32LE(capability.containerNumber, 8);
  into.writeUInt32LE(capability.mapVersion, 12);
  into.writeUInt32LE(expiresAtMs >>> 0, 16);
  into.writeUInt32LE(Math.floor(expiresAtMs / 0x1_0000_0000), 20);
  writeUuid(into, 24, capability.pool);
  writeUuid(into, 40, capability.container);
  into.set(nonce.subarray(0, CAPABILITY_NONCE_BYTES), 56);
  return into;
}

/** Reads the layout; the tag is not looked at. Throws PERMISSION when these are no capability, VERSION for another version. */
export function decodeCapability(bytes: Uint8Array): Capability {
  const view = asBuffer(bytes);
  if (view.length < 8 || view.readUInt32LE(0) !== CAPABILITY_MAGIC) throw malformed();
  const version = view.readUInt16LE(4);
  if (version !== CAPABILITY_VERSION) {
    throw new DaosError(
      "VERSION",
      `Cannot use capability: it has version ${version}, this target knows ${CAPABILITY_VERSION}. Open the container again.`,
    );
  }
  if (view.length !== CAPABILITY_BYTES) throw malformed();
  const capability: Capability = {
    rights: view.readUInt16LE(6),
    containerNumber: view.readUInt32LE(8),
    mapVersion: view.readUInt32LE(12),
    expiresAtMs: view.readUInt32LE(16) + view.readUInt32LE(20) * 0x1_0000_0000,
    pool: uuidFromBytes(view, 24),
    container: uuidFromBytes(view, 40),
  };
  if ((capability.rights & ~KNOWN_RIGHTS) !== 0 || !Number.isSafeInteger(capability.expiresAtMs)) throw malformed();
  return capability;
}

function malformed(): DaosError {
  return new DaosError("PERMISSION", "Cannot use capability: its bytes are none. Open the container again.");
}
