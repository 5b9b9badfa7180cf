/**
 * A pool by its label or id, and the containers in it. Nothing is held open: each call asks the management side, and is
 * refused there with NOT_FOUND when the pool or container is not there.
 */
import type { HybridLogicalClock } from "../base/epoch.ts";
import { STAGED_UPDATE_BYTES } from "../base/limits.ts";
import type { InterfaceProvider } from "../contracts/interface.ts";
import type { World } from "../contracts/world.ts";
import type { ContainerDescription, ContainerType, PoolDescription, Properties } from "../format/operations.ts";
import type { PoolTargetsReply } from "../format/pool-targets.ts";
import type { PoolScrubArguments, PoolScrubReply } from "../format/scrub.ts";
import type { SignalOptions } from "./array-handle.ts";
import { Container } from "./container.ts";
import { ContainerSession } from "./container-session.ts";
import type { RedundancySchemes } from "../redundancy/redundancy-schemes.ts";
import type { ReceiveBuffers } from "./receive-buffers.ts";
import type { SystemCalls } from "./system-calls.ts";
import type { TargetConnections } from "./target-connection.ts";

export interface PoolParts {
  readonly world: World;
  /** That of all connections. */
  readonly clock: HybridLogicalClock;
  readonly calls: SystemCalls;
  readonly connections: TargetConnections;
  readonly buffers: ReceiveBuffers;
  readonly interfaces: readonly InterfaceProvider[];
  readonly schemes: RedundancySchemes;
  readonly timeoutMs: number;
  readonly retryWindowMs: number;
  /** The containers that are open, so that closing the System closes them. */
  readonly sessions: Set<ContainerSession>;
}

export interface ContainerCreateOptions extends SignalOptions {
  readonly label: string;
  readonly type: ContainerType;
  /** `oclass`, `chunk_size`, `user.*`: see docs/admin.md. */
  readonly properties?: Properties;
}

/** All targets of these ranks, and those of these indices. */
export interface TargetSelection {
  readonly ranks?: readonly number[];
  readonly targets?: readonly number[];
}

export class Pool {
  /** As given: a label or an id. */
  readonly name: string;
  readonly #parts: PoolParts;

  constructor(name: string, parts: PoolParts) {
    this.name = name;
    this.#parts = parts;
  }

  async query(options: SignalOptions = {}): Promise<PoolDescription> {
    return this.#parts.calls.queryPool({ pool: this.name }, options);
  }

  /** BUSY while there are containers in it, unless `force`, which destroys them too. */
  async destroy(options: SignalOptions & { readonly force?: boolean } = {}): Promise<void> {
    await this.#parts.calls.destroyPool({ pool: this.name, force: options.force ?? false }, options);
  }

  async getProperties(options: SignalOptions = {}): Promise<Properties> {
    return this.#parts.calls.getPoolProperties({ pool: this.name }, options);
  }

  /** All of them or none; the properties as they are then. */
  async setProperties(properties: Properties, options: SignalOptions = {}): Promise<Properties> {
    return this.#parts.calls.setPoolProperties({ pool: this.name, properties }, options);
  }

  /** The pool's map: its targets, where they are and how they do. */
  async queryTargets(options: SignalOptions = {}): Promise<PoolTargetsReply> {
    return this.#parts.calls.queryPoolTargets({ pool: this.name }, options);
  }

  /**
   * Takes targets out of service; resolves with the map when none of them serves any more. BUSY when containers would lose
   * what they hold, unless `force`; INVALID_ARGUMENT for the last target; NOT_FOUND.
   */
  async exclude(
    selection: TargetSelection,
    options: SignalOptions & { force?: boolean } = {},
  ): Promise<PoolTargetsReply> {
    const { force = false, signal } = options;
    return this.#parts.calls.excludeTargets({ ...selection, pool: this.name, force }, { signal });
  }

  /**
   * Adds all targets of these ranks; data moves to them in the background (`query` tells how far it is). NOT_FOUND,
   * ALREADY_EXISTS (the pool has targets of the rank that are out of service), UNAVAILABLE while an engine of theirs is
   * away, TOO_LARGE.
   */
  async extend(ranks: readonly number[], options: SignalOptions = {}): Promise<PoolTargetsReply> {
    return this.#parts.calls.extendPool({ pool: this.name, ranks }, options);
  }

  /**
   * Moves everything away from targets in the background; they serve until it is done. INVALID_ARGUMENT when too few
   * would be left for the classes of the containers, NO_SPACE, BUSY, NOT_FOUND.
   */
  async drain(selection: TargetSelection, options: SignalOptions = {}): Promise<PoolTargetsReply> {
    return this.#parts.calls.drainTargets({ ...selection, pool: this.name }, options);
  }

  /** Takes excluded and drained targets back. UNAVAILABLE while their engine is away. */
  async reintegrate(selection: TargetSelection, options: SignalOptions = {}): Promise<PoolTargetsReply> {
    return this.#parts.calls.reintegrateTargets({ ...selection, pool: this.name }, options);
  }

  /**
   * Begins a pass of a scrub on all targets, at a pace of its own when one is given, or ends it; or tells how far they are. NOT_FOUND,
   * UNAVAILABLE when no engine could be told.
   */
  async scrub(
    action: PoolScrubArguments["action"],
    options: SignalOptions & { readonly bytesPerSecond?: number } = {},
  ): Promise<PoolScrubReply> {
    const { bytesPerSecond, ...call } = options;
    const args = { pool: this.name, action, ...(bytesPerSecond !== undefined && { bytesPerSecond }) };
    return this.#parts.calls.scrubPool(args, call);
  }

  async createContainer(options: ContainerCreateOptions): Promise<ContainerDescription> {
    const { label, type, properties, signal } = options;
    const args = { pool: this.name, label, type, ...(properties !== undefined && { properties }) };
    return this.#parts.calls.createContainer(args, { signal });
  }

  async listContainers(options: SignalOptions = {}): Promise<readonly ContainerDescription[]> {
    return this.#parts.calls.listContainers({ pool: this.name }, options);
  }

  async queryContainer(container: string, options: SignalOptions = {}): Promise<ContainerDescription> {
    return this.#parts.calls.queryContainer({ pool: this.name, container }, options);
  }

  /** With all its data and snapshots. BUSY while it has snapshots or is in use, unless `force`. */
  async destroyContainer(container: string, options: SignalOptions & { readonly force?: boolean } = {}): Promise<void> {
    const args = { pool: this.name, container, force: options.force ?? false };
    await this.#parts.calls.destroyContainer(args, options);
  }

  async getContainerProperties(container: string, options: SignalOptions = {}): Promise<Properties> {
    return this.#parts.calls.getContainerProperties({ pool: this.name, container }, options);
  }

  async setContainerProperties(
    container: string,
    properties: Properties,
    options: SignalOptions = {},
  ): Promise<Properties> {
    return this.#parts.calls.setContainerProperties({ pool: this.name, container, properties }, options);
  }

  /** Opens a container by label or id. Its targets are connected as they are needed. */
  async openContainer(
    label: string,
    options: SignalOptions & { readonly readOnly?: boolean } = {},
  ): Promise<Container> {
    const { calls, interfaces, sessions } = this.#parts;
    const { world, clock, connections, buffers, timeoutMs, retryWindowMs, schemes } = this.#parts;
    const readOnly = options.readOnly ?? false;
    const opened = await calls.openContainer({ pool: this.name, container: label, readOnly }, options);
    // By id from here on: a container that takes the label later is another one.
    const again = { pool: opened.container.pool, container: opened.container.id, readOnly };
    const session = new ContainerSession(opened, {
      world,
      clock,
      connections,
      buffers,
      readOnly,
      timeoutMs,
      retryWindowMs,
      stagedUpdateBytes: STAGED_UPDATE_BYTES,
      schemes,
      reopen: () => calls.openContainer(again, {}),
      closed: (closed) => sessions.delete(closed),
    });
    sessions.add(session);
    return new Container({ session, calls, interfaces });
  }
}
