/**
 * Container handles of one target: what `attach` gave to each connection. A handle is a small number that every data
 * request carries; it is valid on the connection that attached it only, and dies with it.
 */
import { DaosError } from "../base/errors.ts";
import type { TargetPool } from "./pool-map-table.ts";
import type { PoolQuota } from "./quota.ts";

/** Handles one connection may hold. */
export const MAX_ATTACHMENTS = 1024;

export interface Attachment {
  readonly container: number;
  /** Its pool, with the map that requests must have been placed by. */
  readonly pool: TargetPool;
  readonly writable: boolean;
  readonly quota: PoolQuota;
  /** Wall clock after which the capability no longer counts, milliseconds since 1970. */
  readonly expiresAtMs: number;
}

/** The handles of one connection. Handle h is at index h - 1: looked up once per request. */
export class Attachments {
  readonly #slots: (Attachment | undefined)[] = [];

  /** Returns the new handle. Throws OVERLOADED over MAX_ATTACHMENTS. */
  add(attachment: Attachment): number {
    const free = this.#slots.indexOf(undefined);
    const slot = free === -1 ? this.#slots.length : free;
    if (slot >= MAX_ATTACHMENTS) {
      throw new DaosError("OVERLOADED", `Cannot attach: the connection holds ${MAX_ATTACHMENTS} handles. Detach some.`);
    }
    this.#slots[slot] = attachment;
    return slot + 1;
  }

  /** Throws STALE for a handle this connection does not hold. */
  get(handle: number): Attachment {
    const attachment = this.#slots[handle - 1];
    if (attachment === undefined) {
      throw new DaosError("STALE", `Cannot use container handle ${handle}: not attached here. Attach again.`);
    }
    return attachment;
  }

  remove(handle: number): void {
    if (this.#slots[handle - 1] !== undefined) this.#slots[handle - 1] = undefined;
  }

  /** Handles held on a container. */
  count(container: number): number {
    return this.#slots.filter((attachment) => attachment?.container === container).length;
  }

  /** Drops every handle of a container that is being destroyed. */
  removeContainer(container: number): void {
    for (const [index, attachment] of this.#slots.entries()) {
      if (attachment?.container === container) this.#slots[index] = undefined;
    }
  }
}
