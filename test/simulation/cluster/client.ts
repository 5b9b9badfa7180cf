/** A client of a simulated cluster: a real container session that works through random operations and notes them. */
import { type ByteString, byteStringOfText } from "../../../src/base/bytes.ts";
import { type Epoch, EPOCH_NONE, HybridLogicalClock } from "../../../src/base/epoch.ts";
import { DaosError } from "../../../src/base/errors.ts";
import type { ObjectId } from "../../../src/base/object-id.ts";
import { ContainerSession } from "../../../src/client/container-session.ts";
import { ObjectOperations } from "../../../src/client/object-operations.ts";
import { ReceiveBuffers } from "../../../src/client/receive-buffers.ts";
import type { RpcLink } from "../../../src/client/rpc-link.ts";
import { TargetConnections } from "../../../src/client/target-connection.ts";
import { RpcConnection } from "../../../src/rpc/connection.ts";
import type { SimulatedClock } from "../clock.ts";
import { SimulatedDatagrams } from "../datagrams.ts";
import { SimulatedDisk } from "../disk.ts";
import type { SimulatedRandom } from "../random.ts";
import type { SimulatedTimers } from "../timers.ts";
import { idOfValue, idsOfRecords, recordsOf, valueOf } from "./content.ts";
import type { ControlPlane } from "./control-plane.ts";
import { type Action, type Operation, type Outcome, RECORD_COUNT, VALUE_COUNT } from "./history.ts";
import type { ClusterNetwork } from "./network.ts";
import { SCHEMES } from "./node.ts";
import { NodeClock } from "./node-clock.ts";
import { stagingLink } from "./staging-link.ts";

const TIMEOUT_MS = 3_000;
const RETRY_WINDOW_MS = 5_000;
/** Writes of a few records and large values are staged. */
const STAGED_BYTES = 1_000;
export const ARRAY_AKEY = byteStringOfText("array");

/** One dkey under test, with all that was done to it. */
export interface Subject {
  readonly name: string;
  readonly oid: ObjectId;
  readonly dkey: ByteString;
  /** Of its array. */
  readonly recordBytes: number;
  readonly history: Operation[];
  /** By akey and epoch, what was read at that epoch. */
  readonly past: Map<string, number>;
  /** By snapshot, what it showed first. */
  readonly snapshots: Map<Epoch, readonly number[]>;
}

export interface ClientParts {
  readonly clock: SimulatedClock;
  readonly timers: SimulatedTimers;
  readonly random: SimulatedRandom;
  readonly network: ClusterNetwork;
  readonly control: ControlPlane;
  readonly subjects: readonly Subject[];
  readonly nextId: () => number;
  readonly log: (line: string) => void;
  /** Stands between the client and its connections. */
  readonly wrapped?: (link: RpcLink) => RpcLink;
}

/** What a session needs of the cluster. */
export type SessionParts = Pick<ClientParts, "timers" | "random" | "network" | "control" | "wrapped">;

/** A real session of a client of this name. */
export function openSession(name: string, clock: NodeClock, parts: SessionParts): ContainerSession {
  const { timers, random } = parts;
  const network = parts.network.of(name);
  const epochs = new HybridLogicalClock(() => clock.wallMs());
  const buffers = new ReceiveBuffers();
  const datagrams = new SimulatedDatagrams(random, timers);
  const world = { clock, timers, random, network, datagrams, disk: new SimulatedDisk(random, clock, timers) };
  const connections = new TargetConnections(
    async (host, port, { timeoutMs }) => {
      const options = { timers, clock: epochs, timeoutMs, payloadBuffers: buffers };
      const connection = await RpcConnection.connect(network, host, port, options);
      const link = stagingLink(connection, random, timers);
      return parts.wrapped?.(link) ?? link;
    },
    timers,
    2_000,
  );
  return new ContainerSession(parts.control.openNow(), {
    world,
    clock: epochs,
    connections,
    buffers,
    schemes: SCHEMES,
    readOnly: false,
    timeoutMs: TIMEOUT_MS,
    retryWindowMs: RETRY_WINDOW_MS,
    stagedUpdateBytes: STAGED_BYTES,
    reopen: () => parts.control.open(name),
    closed: () => {},
  });
}

export function akeyOfValue(at: number): ByteString {
  return byteStringOfText(`value ${at}`);
}

export class ClusterClient {
  readonly name: string;
  readonly clock: NodeClock;
  /** Operations done, and those whose outcome nobody knows. */
  readonly counts = { operations: 0, unknown: 0 };
  readonly codes = new Map<string, number>();
  readonly #number: number;
  readonly #parts: ClientParts;
  readonly #operations: ObjectOperations;

  constructor(number: number, parts: ClientParts) {
    this.#number = number;
    this.#parts = parts;
    this.name = `c${number}`;
    this.clock = new NodeClock(parts.clock);
    const session = openSession(this.name, this.clock, parts);
    this.#operations = new ObjectOperations(session, EPOCH_NONE);
  }

  get session(): ContainerSession {
    return this.#operations.session;
  }

  /** One random operation after another, until told to stop. */
  async work(isOver: () => boolean): Promise<void> {
    const { random, subjects, timers } = this.#parts;
    while (!isOver()) {
      const subject = subjects[random.below(subjects.length)]!;
      const draw = random.next();
      if (draw < 0.1 && subject.past.size > 0) await this.#readPast(subject);
      else if (draw < 0.15) await this.readSnapshot(subject);
      else await this.run(subject, this.#randomAction());
      await timers.advance(random.next() < 0.7 ? random.next() * 5 : random.next() * 150);
    }
  }

  #randomAction(): Action {
    const { random, nextId } = this.#parts;
    const at = random.below(VALUE_COUNT);
    const from = random.below(RECORD_COUNT);
    const to = from + 1 + random.below(RECORD_COUNT - from);
    const draw = random.next();
    if (draw < 0.25) return { kind: "fetch", at };
    if (draw < 0.45) return { kind: "update", at, id: nextId() };
    if (draw < 0.55) return { kind: "update", at, id: nextId(), condition: "ifAbsent" };
    if (draw < 0.62) return { kind: "update", at, id: nextId(), condition: "ifExists" };
    if (draw < 0.68) return { kind: "punchAkey", at };
    if (draw < 0.71) return { kind: "punchDkey" };
    if (draw < 0.83) return { kind: "read", from, to };
    if (draw < 0.96) return { kind: "write", from, to, id: nextId() };
    return { kind: "write", from, to, id: 0 };
  }

  /** Runs and notes one operation. */
  async run(subject: Subject, action: Action): Promise<Outcome> {
    const startNs = this.#parts.clock.monotonicNs();
    const endNs = Number.POSITIVE_INFINITY;
    const operation: Operation = {
      client: this.#number,
      action,
      startNs,
      endNs,
      outcome: { kind: "unknown", code: "-" },
    };
    subject.history.push(operation);
    this.counts.operations += 1;
    try {
      operation.outcome = await this.#perform(subject, action);
      operation.endNs = this.#parts.clock.monotonicNs();
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      if (error.code === "ALREADY_EXISTS" || error.code === "DOES_NOT_EXIST") {
        operation.outcome = { kind: "refused" };
        operation.endNs = this.#parts.clock.monotonicNs();
      } else {
        operation.outcome = { kind: "unknown", code: `${error.code}: ${error.message}` };
        this.counts.unknown += 1;
        this.codes.set(error.code, (this.codes.get(error.code) ?? 0) + 1);
      }
    }
    const { action: asked, outcome } = operation;
    const since = (startNs / 1e6).toFixed(3);
    this.#parts.log(
      `${this.name} ${subject.name} since ${since} ${JSON.stringify(asked)} ${JSON.stringify(outcome)} ${this.#operations.session.placement.mapVersion}`,
    );
    return operation.outcome;
  }

  async #perform({ oid, dkey, recordBytes, past }: Subject, action: Action): Promise<Outcome> {
    const operations = this.#operations;
    switch (action.kind) {
      case "fetch": {
        const found = await operations.fetchValue(oid, dkey, akeyOfValue(action.at));
        const id = idOfValue(found?.value);
        if (found !== undefined) notePast(past, action.at, found.epoch, id);
        return { kind: "seen", ids: [id] };
      }
      case "update": {
        const { at, id, condition } = action;
        const options = condition === undefined ? {} : { condition };
        const epoch = await operations.updateValue(oid, dkey, akeyOfValue(at), valueOf(id), options);
        notePast(past, at, epoch, id);
        return { kind: "done", epoch };
      }
      case "punchAkey":
        return { kind: "done", epoch: await operations.punchAkey(oid, dkey, akeyOfValue(action.at)) };
      case "punchDkey":
        return { kind: "done", epoch: await operations.punchDkey(oid, dkey) };
      case "read": {
        const bytes = await operations.readRecords(oid, dkey, ARRAY_AKEY, rangeOf(action, recordBytes));
        return { kind: "seen", ids: idsOfRecords(bytes, action.to - action.from, recordBytes) };
      }
      case "write": {
        const range = rangeOf(action, recordBytes);
        const { id } = action;
        const records = recordsOf(id, range.recordCount, recordBytes);
        const epoch =
          id === 0
            ? await operations.punchRecords(oid, dkey, ARRAY_AKEY, range)
            : await operations.writeRecords(oid, dkey, ARRAY_AKEY, range, records);
        return { kind: "done", epoch };
      }
      default:
        return action satisfies never;
    }
  }

  /** What a snapshot shows must never change, whoever is asked. */
  async readSnapshot({ oid, dkey, recordBytes, snapshots, name }: Subject): Promise<void> {
    const { control, random } = this.#parts;
    const epoch = control.snapshots[random.below(Math.max(1, control.snapshots.length))];
    if (epoch === undefined) return;
    const ids: number[] = [];
    try {
      for (let at = 0; at < VALUE_COUNT; at += 1) {
        ids.push(idOfValue((await this.#operations.fetchValue(oid, dkey, akeyOfValue(at), { epoch }))?.value));
      }
      const range = rangeOf({ from: 0, to: RECORD_COUNT }, recordBytes);
      const bytes = await this.#operations.readRecords(oid, dkey, ARRAY_AKEY, range, { epoch });
      ids.push(...idsOfRecords(bytes, RECORD_COUNT, recordBytes));
    } catch (error) {
      if (error instanceof DaosError) return;
      throw error;
    }
    const before = snapshots.get(epoch);
    this.#parts.log(`${this.name} ${name} at snapshot ${epoch}: ${ids.join(" ")}`);
    if (before === undefined) snapshots.set(epoch, ids);
    else if (before.join() !== ids.join()) {
      throw new Error(`${name}: snapshot ${epoch} showed ${before.join(" ")} before, now ${ids.join(" ")}`);
    }
  }

  /** What an epoch shows must never change, whoever is asked. */
  async #readPast({ oid, dkey, past, name }: Subject): Promise<void> {
    const entries = [...past];
    const [place, id] = entries[Math.max(0, entries.length - 1 - this.#parts.random.below(8))]!;
    const [at, epoch] = place.split(" ").map(Number) as [number, number];
    let seen: number;
    try {
      const found = await this.#operations.fetchValue(oid, dkey, akeyOfValue(at), { epoch: epoch as Epoch });
      seen = idOfValue(found?.value);
    } catch (error) {
      if (error instanceof DaosError) return;
      throw error;
    }
    this.#parts.log(`${this.name} ${name} value ${at} at ${epoch}: ${seen}`);
    if (seen !== id) throw new Error(`${name}, value ${at}: epoch ${epoch} showed ${id} before, now ${seen}`);
  }
}

function notePast(past: Map<string, number>, at: number, epoch: number, id: number): void {
  const place = `${at} ${epoch}`;
  const before = past.get(place);
  if (before !== undefined && before !== id)
    throw new Error(`value ${at}: epoch ${epoch} is of ${before} and of ${id}`);
  past.set(place, id);
}

function rangeOf(
  { from, to }: { readonly from: number; readonly to: number },
  recordBytes: number,
): {
  recordIndex: number;
  recordCount: number;
  recordBytes: number;
} {
  return { recordIndex: from, recordCount: to - from, recordBytes };
}
