/**
 * The requests that change records. Each has its outcome written with its change (request-outcomes.ts), and a way to be answered
 * when that is found there: what may be left to do is done, and the reply made from the records as they are now.
 */
import { checkArguments } from "../format/operation-arguments.ts";
import { Opcode } from "../format/operations.ts";
import { requestIdOf } from "../format/request-id.ts";
import type { ContainerService } from "./container-service.ts";
import type { PoolElasticity } from "./pool-elasticity.ts";
import type { PoolMapService } from "./pool-map-service.ts";
import type { PoolService } from "./pool-service.ts";
import type { Mark, RequestOutcomes } from "./request-outcomes.ts";
import type { SnapshotService } from "./snapshot-service.ts";

export interface RecordChangesParts {
  readonly outcomes: RequestOutcomes;
  readonly pools: PoolService;
  readonly maps: PoolMapService;
  readonly elasticity: PoolElasticity;
  readonly containers: ContainerService;
  readonly snapshots: SnapshotService;
}

/** How one request is run, and how it is answered when it was done to `subject` before. */
interface Once {
  readonly run: (mark: Mark) => Promise<object>;
  readonly again: (subject: string) => Promise<object>;
}

/** The reply of an operation that has nothing to tell. */
const nothing = (): object => ({});

export class RecordChanges {
  readonly #parts: RecordChangesParts;

  constructor(parts: RecordChangesParts) {
    this.#parts = parts;
  }

  /** The reply; undefined for an operation that is none of these. Rejects with DaosError only. */
  async call(opcode: number, args: unknown): Promise<object | undefined> {
    const once = this.#ofPool(opcode, args) ?? this.#ofTargets(opcode, args) ?? this.#ofContainer(opcode, args);
    return once && this.#parts.outcomes.once(requestIdOf(args), once.run, once.again);
  }

  #ofPool(opcode: number, args: unknown): Once | undefined {
    const { pools } = this.#parts;
    switch (opcode) {
      case Opcode.poolCreate: {
        const create = checkArguments(opcode, args);
        return { run: (mark) => pools.create(create, mark), again: (id) => pools.queryAgain(id) };
      }
      case Opcode.poolDestroy: {
        const destroy = checkArguments(opcode, args);
        return {
          run: (mark) => pools.destroy(destroy, mark).then(nothing),
          again: (id) => pools.destroyAgain(id).then(nothing),
        };
      }
      case Opcode.poolSetProperties: {
        const set = checkArguments(opcode, args);
        return { run: (mark) => pools.setProperties(set, mark), again: (id) => pools.setPropertiesAgain(id) };
      }
      default:
        return undefined;
    }
  }

  #ofTargets(opcode: number, args: unknown): Once | undefined {
    const { maps, elasticity } = this.#parts;
    const again = (pool: string): Promise<object> => maps.changeAgain(pool);
    switch (opcode) {
      case Opcode.poolExclude: {
        const exclude = checkArguments(opcode, args);
        return { run: (mark) => maps.exclude(exclude, mark), again };
      }
      case Opcode.poolReintegrate: {
        const reintegrate = checkArguments(opcode, args);
        return { run: (mark) => maps.reintegrate(reintegrate, mark), again: (pool) => maps.reintegrateAgain(pool) };
      }
      case Opcode.poolExtend: {
        const extend = checkArguments(opcode, args);
        return { run: (mark) => elasticity.extend(extend, mark), again };
      }
      case Opcode.poolDrain: {
        const drain = checkArguments(opcode, args);
        return { run: (mark) => elasticity.drain(drain, mark), again };
      }
      default:
        return undefined;
    }
  }

  #ofContainer(opcode: number, args: unknown): Once | undefined {
    const { containers, snapshots } = this.#parts;
    switch (opcode) {
      case Opcode.containerCreate: {
        const create = checkArguments(opcode, args);
        return { run: (mark) => containers.create(create, mark), again: (key) => containers.queryAgain(key) };
      }
      case Opcode.containerDestroy: {
        const destroy = checkArguments(opcode, args);
        return {
          run: (mark) => containers.destroy(destroy, mark).then(nothing),
          again: (key) => containers.destroyAgain(key).then(nothing),
        };
      }
      case Opcode.containerSetProperties: {
        const set = checkArguments(opcode, args);
        return {
          run: (mark) => containers.setProperties(set, mark),
          again: async (key) => ({ properties: (await containers.queryAgain(key)).properties }),
        };
      }
      case Opcode.snapshotCreate: {
        const create = checkArguments(opcode, args);
        return { run: (mark) => snapshots.create(create, mark), again: (key) => snapshots.queryAgain(key) };
      }
      case Opcode.snapshotDestroy: {
        const destroy = checkArguments(opcode, args);
        return {
          run: (mark) => snapshots.destroy(destroy, mark).then(nothing),
          again: (key) => snapshots.destroyAgain(key).then(nothing),
        };
      }
      default:
        return undefined;
    }
  }
}
