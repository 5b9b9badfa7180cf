/** What a capability is good for on a target: the container, by the pool's present map, and what it may take. */
import { DaosError } from "../base/errors.ts";
import type { CapabilityAuthority } from "../control/capability-authority.ts";
import { Right } from "../format/capability.ts";
import type { Attachment } from "./attachments.ts";
import { NewerMap, type PoolMapTable } from "./pool-map-table.ts";
import type { QuotaTable } from "./quota.ts";

/** The result throws STALE (not served here), PERMISSION, NewerMap. */
export function attachmentGrant(
  authority: CapabilityAuthority,
  quotas: QuotaTable,
  maps: PoolMapTable,
): (capability: Uint8Array) => Attachment {
  return (bytes) => {
    const capability = authority.verify(bytes, ({ containerNumber, mapVersion }) => {
      const place = maps.mapOf(containerNumber);
      if (place === undefined) throw notServed();
      if (mapVersion > place.map.version) throw new NewerMap(place, mapVersion);
      return place.map.version;
    });
    const quota = quotas.of(capability.containerNumber);
    const pool = maps.mapOf(capability.containerNumber);
    if (quota === undefined || pool === undefined) throw notServed();
    return {
      container: capability.containerNumber,
      pool,
      writable: (capability.rights & Right.write) !== 0,
      quota,
      expiresAtMs: capability.expiresAtMs,
    };
  };
}

function notServed(): DaosError {
  return new DaosError("STALE", "Cannot attach: the container is not served here. Open the container again.");
}
