/**
 * Properties of pools and containers: one table for the control plane, the command line and the documents. A property is
 * in it only if something acts on it. DAOS's names (src/include/daos_prop.h) where it has them; `user.*` are free text
 * for people.
 *
 * Values are checked here and come out in the one form that is stored and sent: sizes as bytes, names in their own
 * spelling. Where a value lives and what follows from a change is the control plane's.
 */
import { ERASURE_CELL_VALUES } from "./erasure-cell.ts";
import { DaosError } from "./errors.ts";
import { checkLabel } from "./label.ts";
import {
  DEFAULT_CHUNK_BYTES,
  DEFAULT_ERASURE_CELL_BYTES,
  DEFAULT_REBUILD_SHARE,
  DEFAULT_SCRUB_BYTES_PER_SECOND,
  DEFAULT_SCRUB_SECONDS,
  INLINE_VALUE_BYTES,
  MAX_CHUNK_BYTES,
  MAX_DATA_THRESHOLD_BYTES,
  MAX_LABEL_BYTES,
  MAX_SCRUB_BYTES_PER_SECOND,
  MAX_SCRUB_SECONDS,
  MAX_USER_ATTRIBUTE_BYTES,
  MAX_USER_ATTRIBUTES,
  MIN_CHUNK_BYTES,
  MIN_DATA_THRESHOLD_BYTES,
  MIN_POOL_BYTES,
  MIN_SCRUB_BYTES_PER_SECOND,
  MIN_SCRUB_SECONDS,
} from "./limits.ts";
import {
  invalid,
  checkPoolSize,
  checkDataThreshold,
  checkScrubRate,
  checkChunkSize,
  checkErasureCellSize,
  checkRebuildShare,
  checkSelfHeal,
  checkRebuild,
  checkRedundancyFactor,
  REBUILD_RUNNING,
  REBUILD_PAUSED,
  POOL_SELF_HEAL,
  type PropertyMap,
  type PropertyScope,
  type PropertyValue,
} from "./property-values.ts";
import { objectClassByName } from "./object-class.ts";
import { checkScrubMode, checkScrubPeriod } from "./scrub-properties.ts";
import { formatSize } from "./size.ts";
import { didYouMean } from "./suggestion.ts";

export type { PropertyMap, PropertyScope, PropertyValue } from "./property-values.ts";

export interface PropertyDefinition {
  readonly scope: PropertyScope;
  readonly name: string;
  /**
   * `creation`: then only. `argument`: at creation by an argument of its own, later as a property. `always`: as a property
   * at any time. `never`: to be read.
   */
  readonly settable: "creation" | "argument" | "always" | "never";
  /** What it is when nobody set it; undefined where the record itself holds it. */
  readonly defaultValue: PropertyValue | undefined;
  /** What may stand there, for people. */
  readonly values: string;
  readonly description: string;
  /** The stored form. Throws INVALID_ARGUMENT or UNSUPPORTED. */
  readonly check: (value: PropertyValue) => PropertyValue;
}

/** Prefix of user attributes. */
export const USER_ATTRIBUTE_PREFIX = "user.";
const USER_ATTRIBUTE_PATTERN = /^user\.[A-Za-z0-9:._-]+$/;

export const PROPERTIES: readonly PropertyDefinition[] = [
  {
    scope: "pool",
    name: "label",
    settable: "argument",
    defaultValue: undefined,
    values: `1 to ${MAX_LABEL_BYTES} of A-Z a-z 0-9 : . _ -`,
    description: "The pool's name, unique in the system.",
    check: (value) => checkLabel("pool", String(value)),
  },
  {
    scope: "pool",
    name: "size",
    settable: "argument",
    defaultValue: undefined,
    values: `a size of at least ${formatSize(MIN_POOL_BYTES)}`,
    description: "What the pool's containers may take together; changing it resizes the pool.",
    check: checkPoolSize,
  },
  {
    scope: "pool",
    name: "rd_fac",
    settable: "creation",
    defaultValue: 0,
    values: "0 to 4",
    description: "Faults that the pool's containers survive unless they say otherwise.",
    check: checkRedundancyFactor,
  },
  {
    scope: "pool",
    name: "ec_cell_sz",
    settable: "creation",
    defaultValue: DEFAULT_ERASURE_CELL_BYTES,
    values: ERASURE_CELL_VALUES,
    description: "Cell of erasure-coded objects in the pool's containers, unless they say otherwise.",
    check: (value) => checkErasureCellSize("pool", value),
  },
  {
    scope: "pool",
    name: "data_threshold",
    settable: "always",
    defaultValue: INLINE_VALUE_BYTES,
    values: `${formatSize(MIN_DATA_THRESHOLD_BYTES)} to ${formatSize(MAX_DATA_THRESHOLD_BYTES)}, or auto`,
    description:
      "Values up to this size are written to SCM, larger ones to NVMe; auto: by the speed of both at format.",
    check: checkDataThreshold,
  },
  {
    scope: "pool",
    name: "self_heal",
    settable: "always",
    defaultValue: POOL_SELF_HEAL.join(";"),
    values: `${POOL_SELF_HEAL.join(";")}, some of them, or none`,
    description:
      "What happens by itself when engines fail: they go out of the pool, it is rebuilt, they are taken back.",
    check: checkSelfHeal,
  },
  {
    scope: "pool",
    name: "rebuild_share",
    settable: "always",
    defaultValue: DEFAULT_REBUILD_SHARE,
    values: "1 to 100",
    description:
      "Per cent of a target's time that rebuilding, draining and the like may take while clients want something of it.",
    check: checkRebuildShare,
  },
  {
    scope: "pool",
    name: "rebuild",
    settable: "always",
    defaultValue: REBUILD_RUNNING,
    values: `${REBUILD_RUNNING} or ${REBUILD_PAUSED}`,
    description: "Whether data is rebuilt, and moved, in the background; paused: only what is written to is.",
    check: checkRebuild,
  },
  {
    scope: "pool",
    name: "scrub",
    settable: "always",
    defaultValue: "timed",
    values: "off, lazy, timed",
    description:
      "When what is stored is read and checked: on request, whenever nobody else reads or writes, or every scrub_freq.",
    check: checkScrubMode,
  },
  {
    scope: "pool",
    name: "scrub_freq",
    settable: "always",
    defaultValue: DEFAULT_SCRUB_SECONDS,
    values: `${MIN_SCRUB_SECONDS} to ${MAX_SCRUB_SECONDS} seconds`,
    description: "With scrub timed: from the end of a pass to the next one (a week).",
    check: checkScrubPeriod,
  },
  {
    scope: "pool",
    name: "scrub_rate",
    settable: "always",
    defaultValue: DEFAULT_SCRUB_BYTES_PER_SECOND,
    values: `a size, ${formatSize(MIN_SCRUB_BYTES_PER_SECOND)} to ${formatSize(MAX_SCRUB_BYTES_PER_SECOND)}`,
    description: "Bytes that a pass reads each second on each target, at most.",
    check: checkScrubRate,
  },
  {
    scope: "container",
    name: "label",
    settable: "argument",
    defaultValue: undefined,
    values: `1 to ${MAX_LABEL_BYTES} of A-Z a-z 0-9 : . _ -`,
    description: "The container's name, unique in its pool.",
    check: (value) => checkLabel("container", String(value)),
  },
  {
    scope: "container",
    name: "type",
    settable: "never",
    defaultValue: undefined,
    values: "kv, object, posix",
    description: "The data model of the container.",
    check: (value) => value,
  },
  {
    scope: "container",
    name: "oclass",
    settable: "creation",
    defaultValue: "SX",
    values: "an object class, such as S1, SX, RP_3G1, EC_4P2GX",
    description: "Class of objects whose creator names none; by rd_fac when not given: SX, RP_2GX, RP_3GX, ...",
    check: (value) => objectClassByName(String(value)).name,
  },
  {
    scope: "container",
    name: "chunk_size",
    settable: "creation",
    defaultValue: DEFAULT_CHUNK_BYTES,
    values: `a multiple of 4 KiB, ${formatSize(MIN_CHUNK_BYTES)} to ${formatSize(MAX_CHUNK_BYTES)}`,
    description: "Bytes of an array that one dkey holds.",
    check: checkChunkSize,
  },
  {
    scope: "container",
    name: "rd_fac",
    settable: "creation",
    defaultValue: 0,
    values: "0 to 4",
    description:
      "Faults that the container's data survives; what oclass survives, else the pool's rd_fac, when not given.",
    check: checkRedundancyFactor,
  },
  {
    scope: "container",
    name: "ec_cell_sz",
    settable: "creation",
    defaultValue: DEFAULT_ERASURE_CELL_BYTES,
    values: ERASURE_CELL_VALUES,
    description:
      "Bytes of an erasure-coded array on one shard before the next one's; the pool's ec_cell_sz when not given.",
    check: (value) => checkErasureCellSize("container", value),
  },
  {
    scope: "container",
    name: "cksum",
    settable: "never",
    defaultValue: "crc32",
    values: "crc32",
    description: "Checksum of every stored chunk and record.",
    check: (value) => value,
  },
  {
    scope: "container",
    name: "status",
    settable: "never",
    defaultValue: "healthy",
    values: "healthy",
    description: "Whether redundancy was ever exceeded by faults.",
    check: (value) => value,
  },
];

/** The table's rows of one scope. */
export function propertiesOf(scope: PropertyScope): readonly PropertyDefinition[] {
  return PROPERTIES.filter((definition) => definition.scope === scope);
}

/**
 * Checks what somebody wants to set, and returns it in its stored form. Throws INVALID_ARGUMENT (unknown name, wrong
 * value, not settable now) or UNSUPPORTED. An empty `user.*` value means "remove it".
 */
export function checkProperties(
  scope: PropertyScope,
  properties: PropertyMap,
  moment: "creation" | "later",
): Record<string, PropertyValue> {
  const checked: [string, PropertyValue][] = [];
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith(USER_ATTRIBUTE_PREFIX)) {
      checked.push([name, checkUserAttribute(scope, name, value)]);
      continue;
    }
    const definition = propertyByName(scope, name);
    checkSettable(definition, moment);
    checked.push([name, definition.check(value)]);
  }
  return Object.fromEntries(checked);
}

/** Throws INVALID_ARGUMENT when a record would have more user attributes than it may. */
export function checkUserAttributeCount(scope: PropertyScope, properties: PropertyMap): void {
  const count = Object.keys(properties).filter((name) => name.startsWith(USER_ATTRIBUTE_PREFIX)).length;
  if (count <= MAX_USER_ATTRIBUTES) return;
  throw new DaosError(
    "INVALID_ARGUMENT",
    `Cannot set user attributes of the ${scope}: they would be ${count}. Keep at most ${MAX_USER_ATTRIBUTES}.`,
  );
}

function propertyByName(scope: PropertyScope, name: string): PropertyDefinition {
  const definitions = propertiesOf(scope);
  const found = definitions.find((definition) => definition.name === name);
  if (found !== undefined) return found;
  const names = definitions.map((definition) => definition.name);
  throw new DaosError(
    "INVALID_ARGUMENT",
    `Cannot use ${scope} property "${name}": not known.${didYouMean(name, names)} ` +
      `Use one of ${names.join(", ")}, or user.<name>.`,
  );
}

function checkSettable(definition: PropertyDefinition, moment: "creation" | "later"): void {
  const { settable } = definition;
  if (settable === "always") return;
  if (settable === (moment === "creation" ? "creation" : "argument")) return;
  const reason =
    settable === "never"
      ? "it can only be read"
      : settable === "argument"
        ? "it has an argument of its own at creation"
        : "it is fixed at creation";
  throw new DaosError(
    "INVALID_ARGUMENT",
    `Cannot set ${definition.scope} property "${definition.name}": ${reason}. Leave it out.`,
  );
}

function checkUserAttribute(scope: PropertyScope, name: string, value: PropertyValue): string {
  const text = String(value);
  const badName = !USER_ATTRIBUTE_PATTERN.test(name) || name.length > USER_ATTRIBUTE_PREFIX.length + MAX_LABEL_BYTES;
  if (badName) {
    throw invalid(scope, name.slice(0, 160), `its name is not user.<1 to ${MAX_LABEL_BYTES} of A-Z a-z 0-9 : . _ ->`);
  }
  const sizeBytes = Buffer.byteLength(text);
  if (sizeBytes > MAX_USER_ATTRIBUTE_BYTES) {
    throw invalid(scope, name, `its value has ${sizeBytes} bytes, ${MAX_USER_ATTRIBUTE_BYTES} are allowed. Shorten it`);
  }
  return text;
}
