/**
 * One engine as the control plane commands it: the calls of EngineCalls on the engine's targets. The control plane of the
 * same process calls it directly, that of another engine by `engineCall`.
 */
import { DaosError } from "../base/errors.ts";
import type { EngineLink } from "../control/members.ts";
import { checkEngineValue, engineCallSchemas } from "../format/engine-arguments.ts";
import { questionSchemas } from "../format/check-arguments.ts";
import type { EngineCallName, EngineCalls, EngineSelf, StopOrder } from "../format/engine-operations.ts";
import type { StorageDevice } from "../format/storage-superblock.ts";
import type { Targets } from "./targets.ts";

const DONE = {};

export interface EngineServiceParts {
  readonly targets: Targets;
  readonly incarnation: number;
  /** The engine, from its superblock. */
  readonly self: Pick<EngineSelf, "engine" | "system">;
  readonly devices: () => readonly StorageDevice[];
  /** See Leadership.pledge. */
  readonly pledge: (term: number) => boolean;
  /** Begins to stop; called after the answer was given. */
  readonly stop: (order: StopOrder) => void;
  /** Has the supervisor start engines; undefined for an engine on its own. */
  readonly startEngines?: ((ranks: readonly number[]) => void) | undefined;
}

/** What each call does; the results as EngineCalls has them. */
type Handlers = {
  readonly [Name in EngineCallName]: (
    value: Parameters<EngineCalls[Name]>[0],
  ) => Promise<ReturnType<EngineCalls[Name]>>;
};

export class EngineService implements EngineLink {
  readonly #handlers: Handlers;
  readonly #isSupervised: boolean;

  constructor({ targets, incarnation, self, devices, pledge, stop, startEngines }: EngineServiceParts) {
    this.#isSupervised = startEngines !== undefined;
    const done = async (work: Promise<unknown>): Promise<object> => {
      await work;
      return DONE;
    };
    this.#handlers = {
      ping: async () => ({ incarnation }),
      space: () => targets.space(),
      usage: async ({ containers }) => {
        const usage = await targets.usage(containers);
        return { usages: containers.map((container) => usage.get(container) ?? { scmBytes: 0, nvmeBytes: 0 }) };
      },
      setPool: (assignment) => done(targets.setPool(assignment)),
      setQuota: (share) => done(targets.setQuota(share)),
      openContainer: ({ container, pool }) => done(targets.openContainer(container, pool)),
      countHandles: async ({ container }) => ({ count: await targets.countHandles(container) }),
      createSnapshot: async ({ container, at }) => {
        if (at === undefined) return { epoch: await targets.createSnapshot(container) };
        await targets.createSnapshotAt(container, at);
        return { epoch: at };
      },
      listSnapshots: async ({ containers }) => ({
        snapshots: await Promise.all(containers.map((container) => targets.listSnapshots(container))),
      }),
      destroySnapshot: ({ container, epoch }) => done(targets.destroySnapshot(container, epoch)),
      destroyContainer: ({ container }) => done(targets.destroyContainer(container)),
      fillStatus: async ({ pool, containers }) => ({ targets: await targets.fillStatus(pool, containers) }),
      check: ({ target, name, value }) =>
        targets.check(target, name, checkEngineValue<unknown>(questionSchemas[name], `check ${name}`, value)),
      identity: async () => ({ ...self, targets: targets.count, devices: await badDevices(targets, devices()) }),
      scrub: (order) => done(targets.scrub(order)),
      scrubStatus: async ({ pool }) => ({ targets: await targets.scrubStatus(pool) }),
      faultyTargets: async () => ({ targets: await targets.faulty() }),
      pledge: async ({ term }) => ({ isPledged: pledge(term) }),
      stop: async (order) => {
        this.checkOrder(order);
        stop(order);
        return DONE;
      },
      startEngines: async ({ ranks }) => {
        startEngines?.(ranks);
        return { isSupervised: startEngines !== undefined };
      },
    };
  }

  /** Throws UNSUPPORTED when nobody would start it again as wanted. */
  checkOrder({ restart }: StopOrder): void {
    if (restart !== true || this.#isSupervised) return;
    const state = "it has no supervisor that would start it again";
    throw new DaosError("UNSUPPORTED", `Cannot restart the engine: ${state}. Stop it and start it on its host.`);
  }

  call<Name extends EngineCallName>(
    name: Name,
    value: Parameters<EngineCalls[Name]>[0],
  ): Promise<ReturnType<EngineCalls[Name]>> {
    return this.#handlers[name](value);
  }

  /** A call that came from another engine. Rejects with UNSUPPORTED, INVALID_ARGUMENT. */
  async run(name: string, value: unknown): Promise<object> {
    if (!Object.hasOwn(this.#handlers, name)) {
      throw new DaosError(
        "UNSUPPORTED",
        `Cannot run call "${name.slice(0, 64)}": not known here. Use a newer release.`,
      );
    }
    const known = name as EngineCallName;
    const checked: unknown = checkEngineValue<unknown>(engineCallSchemas[known], `engineCall ${known}`, value);
    return (this.#handlers[known] as (checked: unknown) => Promise<object>)(checked);
  }

  close(): void {}
}

/** By the reports of their targets, and as the superblock has them. */
async function badDevices(targets: Targets, devices: readonly StorageDevice[]): Promise<EngineSelf["devices"]> {
  const described = await Promise.all(
    devices.map(async ({ id, state: recorded, reason, targets: served }) => {
      const reports = await Promise.allSettled(served.map((target) => targets.ask(target, "device", undefined)));
      const silent = reports.some(({ status }) => status === "rejected");
      const bad = reports.find((report) => report.status === "fulfilled" && report.value.state !== "normal");
      if (bad?.status === "fulfilled") return { id, state: bad.value.state, reason: bad.value.reason };
      return { id, state: silent ? "unresponsive" : recorded, reason };
    }),
  );
  return described.filter(({ state }) => state !== "normal");
}
