/**
 * What engines ask of the control plane: to become a member, to join with their targets, to go on serving, to leave, and
 * for a map. Bodies are checked and their signatures judged by whoever calls.
 */
import { DaosError } from "../base/errors.ts";
import type { TellEvent } from "../base/events.ts";
import { agreedVersion, formatVersions } from "../base/version-range.ts";
import { ENGINE_VERSIONS } from "../format/engine-version.ts";
import type {
  EngineHeartbeatArguments,
  EngineHeartbeatReply,
  EngineHelloArguments,
  EngineHelloReply,
  EngineJoinArguments,
  EngineMapArguments,
  EngineReference,
  EngineRenewArguments,
  PoolAssignment,
} from "../format/engine-operations.ts";
import type { EngineEventsArguments } from "../format/event-operations.ts";
import type { SystemRecord } from "../format/meta-record.ts";
import type { Clock } from "../contracts/world.ts";
import { ClockWatch } from "./clock-watch.ts";
import type { EngineResumption } from "./engine-resumption.ts";
import type { EventLog } from "./event-log.ts";
import type { KeyedLock } from "./keyed-lock.ts";
import type { Members } from "./members.ts";
import type { PoolMapService } from "./pool-map-service.ts";

/** Rounds of giving an engine what it missed, for what it misses during the round before. */
const MAX_JOIN_ROUNDS = 8;

export interface EngineAdmissionParts {
  readonly members: Members;
  readonly maps: PoolMapService;
  readonly resumption: EngineResumption;
  readonly locks: KeyedLock;
  readonly system: SystemRecord;
  readonly log: EventLog;
  readonly clock: Clock;
  readonly event: TellEvent;
}

export class EngineAdmission {
  readonly #parts: EngineAdmissionParts;
  readonly #clocks: ClockWatch;

  constructor(parts: EngineAdmissionParts) {
    this.#parts = parts;
    this.#clocks = new ClockWatch(parts.event);
  }

  /** See Members.hello. Rejects with VERSION when there is no version that both speak. */
  async hello(args: EngineHelloArguments, isSigned: boolean, mayBegin: boolean): Promise<EngineHelloReply> {
    const theirs = { oldest: args.oldest ?? args.version, newest: args.version };
    const version = agreedVersion(ENGINE_VERSIONS, theirs);
    if (version === undefined) {
      const state = `it speaks version ${formatVersions(theirs)} among engines, who leads ${formatVersions(ENGINE_VERSIONS)}`;
      const advice = "Releases that run together may be one version apart: upgrade step by step";
      throw new DaosError("VERSION", `Cannot join engine ${args.engine}: ${state}. ${advice}.`);
    }
    const rank = await this.#parts.members.hello(args, isSigned, mayBegin);
    const { id, name, createdAtMs, capabilityKey } = this.#parts.system;
    return { rank, version, system: { id, name, createdAtMs, capabilityKey } };
  }

  /** Resolves when the engine knows its pools: heartbeats bring leases from then on. */
  join(args: EngineJoinArguments): Promise<void> {
    const { members, resumption, maps, locks, event } = this.#parts;
    const { rank, incarnation } = args;
    return locks.run(`join/${rank}`, async () => {
      const before = members.get(rank);
      const link = await members.join(args);
      members.life.joining(rank, incarnation, members.nowMs());
      for (let round = 1; ; round += 1) {
        const misses = members.life.misses(rank);
        await resumption.run(rank, link);
        if (members.life.misses(rank) === misses) break;
        if (round === MAX_JOIN_ROUNDS) {
          throw new DaosError("UNAVAILABLE", `Cannot join rank ${rank}: it keeps missing what it is told. Try again.`);
        }
      }
      members.life.joined(rank, incarnation, members.nowMs());
      event("engine_joined", `rank ${rank} has joined from ${args.address.host}:${args.address.port}`, { rank });
      if (!isDeepSame(before?.targets, args.targets)) {
        for (const { pool } of await maps.poolsOf([rank])) await maps.publish(pool);
      }
    });
  }

  /** Throws STALE for an engine that has not joined. */
  heartbeat({ rank, incarnation, roster: known, sentAtMs }: EngineHeartbeatArguments): EngineHeartbeatReply {
    const { members, clock } = this.#parts;
    const leaseMs = members.life.heartbeat(rank, incarnation, members.nowMs());
    const roster = members.roster();
    if (leaseMs !== undefined) this.#clocks.heard(rank, sentAtMs, clock.wallMs());
    if (leaseMs !== undefined) return roster.version === known ? { leaseMs } : { leaseMs, roster };
    throw new DaosError("STALE", `Cannot renew the lease of rank ${rank}: it has not joined. Join again.`);
  }

  async leave(reference: Pick<EngineReference, "rank" | "incarnation">): Promise<void> {
    const { members, event } = this.#parts;
    const { rank } = reference;
    if (await members.left(reference)) event("engine_left", `rank ${rank} was stopped`, { rank });
  }

  /** What has happened on an engine; kept when resolved. */
  events({ rank, incarnation, events }: Omit<EngineEventsArguments, "sentAtMs">): Promise<void> {
    return this.#parts.log.append({ rank, incarnation }, events);
  }

  /** The connection that an engine's heartbeats came on is gone. */
  lost({ rank, incarnation }: Pick<EngineReference, "rank" | "incarnation">): void {
    this.#parts.members.life.lost(rank, incarnation);
  }

  /**
   * Whether damaged targets of an engine may be made anew: all that they had is elsewhere. Rejects with BUSY while the engine
   * seems to be there, and with UNAVAILABLE while they are needed.
   */
  async renew({ rank, targets }: Omit<EngineRenewArguments, "sentAtMs">): Promise<void> {
    const { members, maps } = this.#parts;
    const action = `Cannot make target(s) ${targets.join(", ")} of rank ${rank} anew`;
    if (members.isHere(rank)) throw new DaosError("BUSY", `${action}: it is not missed yet. Ask again.`);
    const need = await maps.needOf(rank, targets);
    if (need !== undefined) throw new DaosError("UNAVAILABLE", `${action}: ${need}. Ask again when it is DOWNOUT.`);
  }

  /** Rejects with NOT_FOUND when the engine has no part in the pool. */
  async map({ rank, pool }: Pick<EngineMapArguments, "rank" | "pool">): Promise<PoolAssignment> {
    const assignment = await this.#parts.maps.assignment(pool, rank);
    if (assignment !== undefined) return assignment;
    throw new DaosError("NOT_FOUND", `Cannot find the map of pool ${pool} for rank ${rank}: it has no part in it.`);
  }
}

function isDeepSame(left: unknown, right: unknown): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}
