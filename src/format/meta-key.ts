/**
 * Keys of the control plane in the meta store. A prefix ends in "/" and selects one kind of record in one scope; labels
 * and ids contain no "/", so no key is a prefix of another kind's.
 *
 *     system                                    the system record
 *     counter/container                         last container number given out, never reused
 *     counter/pool                              grows with every change of the pools' sizes
 *     counter/rank                              last rank given out, never reused
 *     counter/forgotten-requests                epoch that no request got its number after that is forgotten
 *     self-heal                                 policy record: what the system does by itself
 *     leader                                    leader record, under the lease of who leads
 *     member/<rank>                             member record: an engine of the system
 *     map/<pool id>                             map record: the pool's map
 *     event/<number, 16 digits>                 event record, a ring: the oldest go
 *     removal/<rank>/<container number>         removal record: a destroyed container that the engine still holds
 *     removal/<rank>/<pool id>                  removal record: a destroyed pool that the engine still knows
 *     requests/<client number>                  requests record: what a client has changed and may ask for again
 *     pool/<pool id>                            pool record
 *     pool-label/<label>                        label record
 *     container/<pool id>/<container id>        container record
 *     container-label/<pool id>/<label>         label record
 *     snapshot/<container id>/<name>            snapshot record; "~<id>" for one that has no name yet
 */
import type { Uuid } from "../base/uuid.ts";

export const SYSTEM_KEY = "system";
export const SELF_HEAL_KEY = "self-heal";
export const LEADER_KEY = "leader";
export const CONTAINER_COUNTER_KEY = "counter/container";
export const POOL_COUNTER_KEY = "counter/pool";
export const RANK_COUNTER_KEY = "counter/rank";
export const FORGOTTEN_REQUESTS_KEY = "counter/forgotten-requests";
export const REQUESTS_PREFIX = "requests/";
export const MEMBER_PREFIX = "member/";
export const MAP_PREFIX = "map/";
export const POOL_PREFIX = "pool/";
export const POOL_LABEL_PREFIX = "pool-label/";
/** Of all pools. */
export const CONTAINER_PREFIX = "container/";
export const CONTAINER_LABEL_PREFIX = "container-label/";

export const EVENT_PREFIX = "event/";

/** In the order of the numbers. */
export function eventKey(number: number): string {
  return `${EVENT_PREFIX}${String(number).padStart(16, "0")}`;
}

export function memberKey(rank: number): string {
  return `${MEMBER_PREFIX}${rank}`;
}

export function requestsKey(client: number): string {
  return `${REQUESTS_PREFIX}${client}`;
}

export function mapKey(pool: string): string {
  return `${MAP_PREFIX}${pool}`;
}

/** Prefix of what an engine must remove when it is back. */
export function removalPrefix(rank: number): string {
  return `removal/${rank}/`;
}

/** `what`: a container's number, or a pool's id. */
export function removalKey(rank: number, what: number | string): string {
  return `${removalPrefix(rank)}${what}`;
}

export function poolKey(pool: string): string {
  return `${POOL_PREFIX}${pool}`;
}

export function poolLabelKey(label: string): string {
  return `${POOL_LABEL_PREFIX}${label}`;
}

/** Prefix of a pool's containers. */
export function containerPrefix(pool: string): string {
  return `${CONTAINER_PREFIX}${pool}/`;
}

export function containerKey(pool: string, container: string): string {
  return `${containerPrefix(pool)}${container}`;
}

export function containerLabelKey(pool: string, label: string): string {
  return `${CONTAINER_LABEL_PREFIX}${pool}/${label}`;
}

/** Prefix of a container's snapshots. */
export function snapshotPrefix(container: string): string {
  return `snapshot/${container}/`;
}

export function snapshotKey(container: string, name: string): string {
  return `${snapshotPrefix(container)}${name}`;
}

/** Key of a snapshot that gets its name from its epoch, until that is known. `~` begins no label. */
export function unnamedSnapshotKey(container: string, id: Uuid): string {
  return `${snapshotPrefix(container)}~${id}`;
}
