/**
 * The targets of an open container under one opening of it: for each the link that the container is attached on. Attached when
 * first needed, and again when the link was lost.
 */
import { DaosError } from "../base/errors.ts";
import { encodeCbor } from "../format/cbor.ts";
import { type AttachReply, type ContainerOpenReply, Opcode } from "../format/operations.ts";
import { isGone, type PoolMap } from "../format/pool-map.ts";
import { decodeReply, wrongReply } from "./reply.ts";
import type { RpcCallOptions, RpcLink } from "./rpc-link.ts";
import { formatAddress } from "./system-address.ts";
import type { TargetConnection, TargetConnections } from "./target-connection.ts";

/** Highest target index a pool map may name. */
const MAX_TARGET_INDEX = 65_535;

export interface AttachedTarget {
  readonly connection: TargetConnection;
  /** The link on which `handle` is valid; undefined before the first attach. */
  link: RpcLink | undefined;
  handle: number;
  attaching: Promise<RpcLink> | undefined;
}

export class AttachedTargets {
  readonly #opened: ContainerOpenReply;
  /** Of all calls that know no better. */
  readonly callOptions: RpcCallOptions;
  /** By target index; holes where the map has none. */
  readonly #targets: (AttachedTarget | undefined)[] = [];

  /** Throws PROTOCOL when the reply's map is of no use. */
  constructor(opened: ContainerOpenReply, connections: TargetConnections, timeoutMs: number) {
    this.#opened = opened;
    this.callOptions = { timeoutMs, mapVersion: opened.map.version };
    for (const { index, host, port } of opened.map.targets) {
      if (index > MAX_TARGET_INDEX) throw wrongReply("container open", `target index ${index} is too high`);
      const connection = connections.to({ host, port });
      this.#targets[index] = { connection, link: undefined, handle: 0, attaching: undefined };
    }
  }

  /** Undefined when the map has no such target. */
  at(index: number): AttachedTarget | undefined {
    return this.#targets[index];
  }

  /** Throws UNAVAILABLE when the map has no such target. */
  existing(index: number): AttachedTarget {
    const target = this.#targets[index];
    if (target !== undefined) return target;
    const { container, map } = this.#opened;
    const state = `pool map version ${map.version} has no target ${index}`;
    throw new DaosError("UNAVAILABLE", `Cannot reach a part of container "${container.label}": ${state}. Try again.`);
  }

  /** The link on which the target's handle is valid. One attach runs at a time. */
  attach(target: AttachedTarget): Promise<RpcLink> {
    if (target.link?.isClosed === false) return Promise.resolve(target.link);
    target.attaching ??= this.#attachNow(target).finally(() => (target.attaching = undefined));
    return target.attaching;
  }

  async #attachNow(target: AttachedTarget): Promise<RpcLink> {
    const link = await target.connection.open();
    const args = encodeCbor({ capability: this.#opened.capability });
    const answer = await link.call(Opcode.attach, args, undefined, this.callOptions);
    const { handle } = decodeReply<AttachReply>(answer.args, "attach", { handle: "count" });
    target.handle = handle;
    target.link = link;
    return link;
  }

  /** Whether the map is another one, or a target of it is elsewhere. */
  isMovedIn({ version, targets }: PoolMap): boolean {
    if (version !== this.#opened.map.version) return true;
    return targets.some(({ index, host, port }) => {
      const known = this.#targets[index]?.connection.address;
      return known?.host !== host || known.port !== port;
    });
  }

  /** Nobody waits any longer for what is out of service by this map, or elsewhere, and does not answer. */
  endSilent({ targets }: PoolMap): void {
    const serving = new Set(targets.filter(({ state }) => !isGone(state)).map(formatAddress));
    for (const target of this.#targets) {
      if (target !== undefined && !serving.has(formatAddress(target.connection.address)))
        target.connection.endIfSilent();
    }
  }

  /** Lets the targets forget the handles. Never rejects: nothing depends on the answers. */
  async detach(): Promise<void> {
    await Promise.all(this.#targets.map((target) => this.#detach(target)));
  }

  async #detach(target: AttachedTarget | undefined): Promise<void> {
    if (target === undefined || target.link?.isClosed !== false) return;
    const args = encodeCbor({ handle: target.handle });
    await target.link.call(Opcode.detach, args, undefined, this.callOptions).catch(() => {});
  }
}
