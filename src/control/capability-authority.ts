/**
 * Signs capabilities for clients and judges those that clients present. Signing happens on the control side, judging on
 * each target with the same key, without asking anybody.
 *
 * A capability says what its holder may do with one container, and for how long it may be used to attach. Who may have
 * one is decided by whoever calls `issue`.
 */
import { assert } from "../base/assert.ts";
import { tagsEqual } from "../base/bytes.ts";
import { DaosError } from "../base/errors.ts";
import { CAPABILITY_LIFETIME_MS } from "../base/limits.ts";
import { UUID_BYTES, uuidFromBytes } from "../base/uuid.ts";
import type { Random } from "../contracts/world.ts";
import {
  type Capability,
  CAPABILITY_NONCE_BYTES,
  CAPABILITY_SIGNED_BYTES,
  CAPABILITY_TAG_BYTES,
  decodeCapability,
  encodeCapability,
  Right,
} from "../format/capability.ts";

export const CAPABILITY_KEY_BYTES = 32;

/** HMAC-SHA-256 (RFC 2104): 32 bytes. src/world has the runtime's. */
export type Hmac = (key: Uint8Array, bytes: Uint8Array) => Uint8Array;

export interface CapabilityAuthorityParts {
  readonly key: Uint8Array;
  readonly hmac: Hmac;
  /** Wall clock, milliseconds since 1970. */
  readonly wallMs: () => number;
}

export class CapabilityAuthority {
  readonly #parts: CapabilityAuthorityParts;

  constructor(parts: CapabilityAuthorityParts) {
    assert(parts.key.length === CAPABILITY_KEY_BYTES, "the capability key has 32 bytes");
    this.#parts = parts;
  }

  /** A signed capability, good for CAPABILITY_LIFETIME_MS from now. `nonce`: 8 random bytes. */
  issue(grant: Omit<Capability, "expiresAtMs">, nonce: Uint8Array): Uint8Array {
    assert(nonce.length === CAPABILITY_NONCE_BYTES, "a capability's nonce has 8 bytes");
    const bytes = encodeCapability({ ...grant, expiresAtMs: this.#parts.wallMs() + CAPABILITY_LIFETIME_MS }, nonce);
    bytes.set(this.#tag(bytes), CAPABILITY_SIGNED_BYTES);
    return bytes;
  }

  /**
   * What a presented capability grants. `mapVersionOf`: the present map of its container's pool. Throws PERMISSION (not
   * signed by this system), STALE (expired, or of another pool map: open the container again), VERSION.
   */
  verify(bytes: Uint8Array, mapVersionOf: (capability: Capability) => number): Capability {
    const capability = decodeCapability(bytes);
    if (!tagsEqual(bytes.subarray(CAPABILITY_SIGNED_BYTES), this.#tag(bytes))) {
      throw new DaosError(
        "PERMISSION",
        "Cannot use capability: this system did not sign it. Open the container again.",
      );
    }
    if (capability.expiresAtMs <= this.#parts.wallMs()) {
      throw new DaosError("STALE", "Cannot use capability: it has expired. Open the container again.");
    }
    const mapVersion = mapVersionOf(capability);
    if (capability.mapVersion !== mapVersion) {
      throw new DaosError(
        "STALE",
        `Cannot use capability: it is for pool map ${capability.mapVersion}, the target has ${mapVersion}. ` +
          "Open the container again.",
      );
    }
    return capability;
  }

  /** A capability that proves to other targets that its holder is one. */
  issueTarget(random: Pick<Random, "fill">): Uint8Array {
    const nonce = new Uint8Array(CAPABILITY_NONCE_BYTES);
    random.fill(nonce);
    const nothing = uuidFromBytes(Buffer.alloc(UUID_BYTES), 0);
    const grant = { rights: Right.target, containerNumber: 0, mapVersion: 0, pool: nothing, container: nothing };
    return this.issue(grant, nonce);
  }

  /** Throws PERMISSION or STALE unless it is a target's. */
  verifyTarget(bytes: Uint8Array): void {
    const { rights } = this.verify(bytes, () => 0);
    if (rights === Right.target) return;
    throw new DaosError("PERMISSION", "Cannot attach as a target: the capability is a client's.");
  }

  #tag(bytes: Uint8Array): Uint8Array {
    const tag = this.#parts.hmac(this.#parts.key, bytes.subarray(0, CAPABILITY_SIGNED_BYTES));
    assert(tag.length === CAPABILITY_TAG_BYTES, "HMAC-SHA-256 has 32 bytes");
    return tag;
  }
}
