/**
 * What the services of the control plane are made of, and the helpers all of them need. Everything from outside (store,
 * targets, clock, random) is injected: the services do no I/O of their own.
 */
import { DaosError } from "../base/errors.ts";
import type { TellEvent } from "../base/events.ts";
import { type PropertyMap, type PropertyScope, propertiesOf, type PropertyValue } from "../base/properties.ts";
import { USER_ATTRIBUTE_PREFIX } from "../base/properties.ts";
import { type Uuid, UUID_BYTES, uuidFromRandom } from "../base/uuid.ts";
import type { Clock, Random } from "../contracts/world.ts";
import type { StoreSpace } from "../store/cell.ts";
import { MAX_FRAME_ARGUMENTS_BYTES } from "../base/limits.ts";
import type { CapabilityAuthority } from "./capability-authority.ts";
import type { KeyedLock } from "./keyed-lock.ts";
import type { Members } from "./members.ts";
import type { MetaRecords } from "./meta-records.ts";
import type { PoolMapStore } from "./pool-map-store.ts";
import type { SelfHeal } from "./self-heal.ts";
import type { TargetControl } from "./target-control.ts";

export interface ControlParts {
  readonly records: MetaRecords;
  readonly locks: KeyedLock;
  readonly targets: TargetControl;
  readonly clock: Clock;
  readonly random: Random;
  readonly authority: CapabilityAuthority;
  readonly members: Members;
  readonly mapStore: PoolMapStore;
  readonly event: TellEvent;
  /** Space of each engine, as it said last. */
  readonly spaceByRank: () => Promise<ReadonlyMap<number, StoreSpace>>;
  readonly selfHeal: SelfHeal;
  /** Container types that a loaded interface gives meaning to. */
  readonly containerTypes: readonly string[];
}

/** A new random id. */
export function newUuid(random: Random): Uuid {
  const bytes = new Uint8Array(UUID_BYTES);
  random.fill(bytes);
  return uuidFromRandom(bytes);
}

export function isoTime(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

/**
 * The stored properties of a record after a change: `changed` over `current`; an empty user attribute is removed.
 */
export function mergeProperties(current: PropertyMap, changed: PropertyMap): Record<string, PropertyValue> {
  const merged = Object.entries({ ...current, ...changed });
  return Object.fromEntries(
    merged.filter(([name, value]) => !(name.startsWith(USER_ATTRIBUTE_PREFIX) && value === "")),
  );
}

/** All properties as people see them: those of the record, the stored ones, and the defaults of the rest. */
export function describeProperties(
  scope: PropertyScope,
  recordOwn: PropertyMap,
  stored: PropertyMap,
): Record<string, PropertyValue> {
  const defaults = propertiesOf(scope).flatMap(({ name, defaultValue }) =>
    defaultValue === undefined ? [] : [[name, defaultValue] as const],
  );
  return { ...recordOwn, ...Object.fromEntries(defaults), ...stored };
}

/** How many of these fit one reply: at least one. Their JSON is about as long as their CBOR. */
export function countFitting(descriptions: readonly unknown[]): number {
  let roomBytes = MAX_FRAME_ARGUMENTS_BYTES / 2;
  let count = 0;
  for (const description of descriptions) {
    roomBytes -= Buffer.byteLength(JSON.stringify(description));
    if (roomBytes < 0 && count > 0) return count;
    count += 1;
  }
  return count;
}

/** The error for a request that was done, is asked for again, and whose work somebody has undone since. */
export function destroyedSince(noun: "pool" | "container" | "snapshot", key: string): DaosError {
  const state = `the request was done, and its ${noun} ("${key}") has been destroyed since`;
  return new DaosError("NOT_FOUND", `Cannot describe the ${noun}: ${state}. Look what is there.`);
}

/** The error for working on something that is on its way out. */
export function beingDestroyed(action: string, noun: "pool" | "container", label: string): DaosError {
  return new DaosError(
    "BUSY",
    `Cannot ${action} ${noun} "${label}": it is being destroyed. ` +
      `If that does not end, run \`daos ${noun} destroy\` again.`,
  );
}
