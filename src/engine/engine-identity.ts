/**
 * Whether this engine begins a system or belongs to one: read off its superblock and its configuration, and, for an engine
 * that joins for the first time, asked of the system.
 */
import type { HybridLogicalClock } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import type { Hmac } from "../control/capability-authority.ts";
import { newUuid } from "../control/control-parts.ts";
import type { World } from "../contracts/world.ts";
import type { EngineAddress } from "../format/engine-operations.ts";
import type { StorageMembership, StorageSuperblock } from "../format/storage-superblock.ts";
import type { Configuration } from "./configuration.ts";
import { formatListenAddress, parseListenAddress } from "./listen-address.ts";
import { formattedSuperblock, type OpenStorageOptions, unfinishedEngine } from "./storage-folder.ts";
import { type Greeting, sayFirstHello } from "./system-member.ts";

export interface EngineIdentityParts {
  readonly world: World;
  readonly software: string;
  readonly hmac: Hmac;
  readonly epochs: HybridLogicalClock;
  readonly format?: OpenStorageOptions["format"];
  readonly canceled?: AbortSignal;
}

export class EngineIdentity {
  readonly #configuration: Configuration;
  readonly #parts: EngineIdentityParts;

  constructor(configuration: Configuration, parts: EngineIdentityParts) {
    this.#configuration = configuration;
    this.#parts = parts;
  }

  /**
   * What storage that is to be formatted gets from the system it joins; undefined for storage that is formatted, and for
   * the first engine. Rejects with CONFIGURATION when the storage is another system's, UNAVAILABLE, PERMISSION.
   */
  async joined(): Promise<OpenStorageOptions["joined"]> {
    const { join, storage } = this.#configuration;
    const { world, format } = this.#parts;
    const formatted = format === "force" ? undefined : formattedSuperblock(world.disk, storage);
    if (formatted !== undefined) {
      if (join !== undefined && formatted.membership === undefined) throw isFirst(storage, formatted);
      return undefined;
    }
    if (join === undefined) return undefined;
    const unfinished = format === "force" ? undefined : unfinishedEngine(world.disk, storage);
    const engine = unfinished?.engine ?? newUuid(world.random);
    const { reply, control } = await this.#greet(join, engine, unfinished);
    this.#checkName(reply.system.name);
    const { rank, system } = reply;
    const membership = { rank, control: formatListenAddress(control), key: system.capabilityKey };
    return { engine, id: system.id, name: system.name, membership };
  }

  /** Where the control plane may be: as configured, then where it was last. */
  controlAddresses({ control }: StorageMembership): EngineAddress[] {
    const { join } = this.#configuration;
    const last = parseListenAddress(control);
    if (last === undefined) {
      throw new DaosError("CORRUPT", `Cannot read the superblock: "${control}" is no address of a control plane.`);
    }
    return join === undefined ? [last] : [join, last];
  }

  #greet(join: EngineAddress, engine: string, unfinished: StorageSuperblock | undefined): Promise<Greeting> {
    const { world, hmac, software, epochs, canceled } = this.#parts;
    const { network, timers, clock } = world;
    const { faultDomain: domain, targets } = this.#configuration;
    const key = unfinished?.membership === undefined ? undefined : Buffer.from(unfinished.membership.key, "hex");
    const system = unfinished === undefined ? undefined : { id: unfinished.id, name: unfinished.system };
    const facts = { engine, domain, targets, ...(system !== undefined && { system }) };
    return sayFirstHello(join, facts, key, { network, timers, clock, epochs, hmac, software }, canceled);
  }

  #checkName(name: string): void {
    const { given, name: configured } = this.#configuration;
    if (!given.has("name") || configured === name) return;
    const state = `the system there has the name "${name}", "${configured}" is configured`;
    throw new DaosError("CONFIGURATION", `Cannot join the system: ${state}. Correct name, or join.`);
  }
}

function isFirst(storage: string, { system }: StorageSuperblock): DaosError {
  return new DaosError(
    "CONFIGURATION",
    `Cannot join a system with storage "${storage}": it holds the first engine of system "${system}". ` +
      "Leave --join out, or use another storage folder.",
  );
}
