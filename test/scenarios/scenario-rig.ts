/**
 * What the scenarios of `daos_test` run on: six real targets with replication on simulated media and network, and real
 * clients of the library, all in one process and in simulated time. Objects of any class, arrays, maps and transactions.
 */
import { byteStringOfText } from "../../src/base/bytes.ts";
import { type Epoch, EPOCH_NONE } from "../../src/base/epoch.ts";
import type { DaosError } from "../../src/base/errors.ts";
import { objectClassByName } from "../../src/base/object-class.ts";
import { objectId } from "../../src/base/object-id.ts";
import { type ArrayHandle as ArrayHandleType, ArrayHandle } from "../../src/client/array-handle.ts";
import type { ContainerSession } from "../../src/client/container-session.ts";
import { ObjectHandle } from "../../src/client/object-handle.ts";
import { ObjectOperations } from "../../src/client/object-operations.ts";
import type { RpcLink } from "../../src/client/rpc-link.ts";
import { Transactions } from "../../src/client/transactions.ts";
import type { ObjectAccess } from "../../src/contracts/interface.ts";
import type { KeyValue } from "../../src/contracts/key-value.ts";
import { redundancyGroup } from "../../src/redundancy/redundancy-group.ts";
import kvPlugin from "../../plugins/interface/kv/index.ts";
import { openSession } from "../simulation/cluster/client.ts";
import { NodeClock } from "../simulation/cluster/node-clock.ts";
import { CONTAINER } from "../simulation/cluster/node.ts";
import { ErasureRig } from "../simulation/erasure-rig.ts";

/** One class of each kind of protection: none over one and all targets, copies, erasure code. */
export const CLASSES = ["S1", "SX", "RP_2G1", "RP_3GX", "EC_2P1G1", "EC_4P2GX"];
export const CODED = ["EC_2P1G1", "EC_4P2GX"];
/** Of the rig's container: cells of erasure-coded arrays. */
export const CELL_BYTES = 4096;
/** After so long what was written is folded, the gate has passed it, and what it kept is gone: milliseconds. */
const FOLDED_MS = 40_000;

const kvInterface = kvPlugin.create({});

export class ScenarioRig extends ErasureRig {
  #clients = 0;
  #arrays = 0;

  /** Another client; `wrapped` stands between it and its connections. */
  client(wrapped?: (link: RpcLink) => RpcLink): ContainerSession {
    this.#clients += 1;
    const { timers, network, control } = this;
    const parts = { timers, network, control, random: this.random.fork(), ...(wrapped !== undefined && { wrapped }) };
    return openSession(`other ${this.#clients}`, new NodeClock(this.clock), parts);
  }

  /** The same object as another client or another epoch sees it. */
  seen(object: ObjectHandle, by: ContainerSession = this.session, epoch: Epoch = EPOCH_NONE): ObjectHandle {
    return new ObjectHandle(new ObjectOperations(by, epoch), object.id);
  }

  /** A new array, or that of an id. */
  array(
    of: string | ArrayHandleType,
    options: { recordBytes?: number; chunkBytes?: number } = {},
    epoch: Epoch = EPOCH_NONE,
  ): ArrayHandle {
    this.#arrays += 1;
    const id = typeof of === "string" ? objectId("ARRAY", objectClassByName(of), 7, BigInt(this.#arrays)) : of.id;
    return new ArrayHandle(this.at(epoch), id, { ...options, defaultChunkBytes: 16_384 });
  }

  /** The map of a container whose class this is. */
  kv(className: string, epoch: Epoch = EPOCH_NONE): KeyValue {
    const operations = this.at(epoch);
    const access: ObjectAccess = {
      containerType: "kv",
      defaultClass: objectClassByName(className),
      fetchValue: (...call) => operations.fetchValue(...call),
      updateValue: (...call) => operations.updateValue(...call),
      punchAkey: (...call) => operations.punchAkey(...call),
      listDkeys: (...call) => operations.listDkeys(...call),
    };
    return kvInterface.open(access) as KeyValue;
  }

  transactions(session: ContainerSession = this.session): Transactions {
    return new Transactions(session);
  }

  /** Lets everything be folded, settled and aggregated. */
  async aggregate(): Promise<void> {
    await this.timers.advance(FOLDED_MS);
    await Promise.all(this.nodes.map(({ life }) => life?.store.aggregate(CONTAINER)));
    await this.timers.advance(FOLDED_MS);
  }

  /** Bytes and versions that all targets keep of the container. */
  get usage(): { bytes: number; versions: number } {
    const usages = this.nodes.flatMap(({ life }) => (life === undefined ? [] : [life.objects.usage(CONTAINER)]));
    return {
      bytes: usages.reduce((sum, { scmBytes, nvmeBytes }) => sum + scmBytes + nvmeBytes, 0),
      versions: usages.reduce((sum, { versions }) => sum + versions, 0),
    };
  }

  /** Nobody leaves a decision open. */
  get undecided(): number {
    return this.nodes.reduce((sum, { life }) => sum + (life?.store.transactions.undecided().length ?? 0), 0);
  }

  /** Of a dkey's group: in the order of its shards; the first target is its only one where there is no redundancy. */
  groupOf(object: ObjectHandle | ArrayHandle, dkey: string): { targets: readonly number[]; leader: number } {
    const { placement } = this.session;
    const place = byteStringOfText(dkey);
    const { leader, members, shards } = redundancyGroup(placement, object.id, place);
    if (leader >= 0) return { targets: shards?.targets ?? members, leader };
    const target = placement.targetOf(object.id, place);
    return { targets: [target], leader: target };
  }
}

/** Runs a scenario once for each class, each on a cluster of its own. */
export async function forEachClass(
  classNames: readonly string[],
  run: (rig: ScenarioRig, className: string) => Promise<void>,
): Promise<void> {
  for (const className of classNames) {
    const rig = new ScenarioRig(1);
    try {
      await rig.start();
      await run(rig, className);
    } catch (error) {
      throw new Error(`${className}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    } finally {
      rig.end();
    }
  }
}

/** Bytes that differ from place to place, and by seed. */
export function pattern(length: number, seed = 0): Buffer<ArrayBuffer> {
  return Buffer.from(Uint8Array.from({ length }, (_, index) => (index * 31 + (index >> 8) * 7 + seed * 101 + 1) % 256));
}

export function text(value: { value: Uint8Array } | undefined): string | undefined {
  return value === undefined ? undefined : Buffer.from(value.value).toString();
}

export async function texts(keys: AsyncIterable<Uint8Array>): Promise<string[]> {
  return Array.fromAsync(keys, (key) => Buffer.from(key).toString());
}

/** Of the failure, or `ok`. */
export function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "ok",
    (error: DaosError) => error.code,
  );
}
