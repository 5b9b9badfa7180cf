/**
 * What the administrator asks of the system as a whole: who leads it, its engines in all pools at once, and what it does by
 * itself.
 */
import type { PoolOutcome, SelfHealEvalReply, SelfHealReply, SystemLeaderReply } from "../format/system-operations.ts";
import { POOL_PREFIX } from "../format/meta-key.ts";
import { checkArguments } from "../format/operation-arguments.ts";
import { Opcode } from "../format/operations.ts";
import type { Clock } from "../contracts/world.ts";
import type { Members } from "./members.ts";
import type { MetaRecords } from "./meta-records.ts";
import type { PoolElasticity } from "./pool-elasticity.ts";
import type { PoolMapService } from "./pool-map-service.ts";
import type { PoolQuotas } from "./pool-quotas.ts";
import type { PoolSweep } from "./pool-sweep.ts";
import type { SystemBackup } from "./system-backup.ts";
import type { SelfHeal } from "./self-heal.ts";

export interface SystemOperationsParts {
  readonly rank: number;
  readonly term: number | undefined;
  readonly clock: Clock;
  readonly members: Members;
  readonly records: MetaRecords;
  readonly maps: PoolMapService;
  readonly elasticity: PoolElasticity;
  readonly quotas: PoolQuotas;
  readonly sweep: PoolSweep;
  readonly selfHeal: SelfHeal;
  readonly backup: SystemBackup;
}

export class SystemOperations {
  readonly #parts: SystemOperationsParts;
  readonly #sinceNs: number;

  constructor(parts: SystemOperationsParts) {
    this.#parts = parts;
    this.#sinceNs = parts.clock.monotonicNs();
  }

  /** The reply; undefined for an operation that is none of these. */
  async call(opcode: number, args: unknown): Promise<object | undefined> {
    const { sweep, maps, elasticity, selfHeal, backup } = this.#parts;
    switch (opcode) {
      case Opcode.systemLeader:
        return this.leader();
      case Opcode.systemExclude:
        return sweep.run(checkArguments(opcode, args), (targets) => maps.exclude(targets));
      case Opcode.systemDrain:
        return sweep.run(checkArguments(opcode, args), (targets) => elasticity.drain(targets));
      case Opcode.systemReintegrate:
        return sweep.run(checkArguments(opcode, args), (targets) => maps.reintegrate(targets));
      case Opcode.selfHealGet:
        return { flags: selfHeal.flags } satisfies SelfHealReply;
      case Opcode.selfHealSet:
        return this.setSelfHeal(checkArguments(opcode, args).flags);
      case Opcode.systemBackup:
        return backup.read(checkArguments(opcode, args));
      case Opcode.selfHealEval:
        return this.evalSelfHeal();
      default:
        return undefined;
    }
  }

  leader(): SystemLeaderReply {
    const { rank, term, clock, members } = this.#parts;
    const leadsMs = Math.floor((clock.monotonicNs() - this.#sinceNs) / 1e6);
    return { rank, address: members.addressOf(rank), leadsMs, ...(term !== undefined && { term }) };
  }

  /** The targets know it when resolved. */
  async setSelfHeal(flags: readonly string[]): Promise<SelfHealReply> {
    const { selfHeal } = this.#parts;
    if ((await selfHeal.set(flags)).includes("pool_rebuild")) await this.#refreshPools();
    return { flags: selfHeal.flags };
  }

  /** Engines that are excluded from the system go out of the pools that have them still, as far as the flags say. */
  async evalSelfHeal(): Promise<SelfHealEvalReply> {
    const { members, maps, selfHeal } = this.#parts;
    const excluded = members
      .list()
      .filter(({ state }) => state === "excluded")
      .map(({ rank }) => rank);
    await this.#refreshPools();
    if (!selfHeal.allows("pool_exclude") || excluded.length === 0) return { excluded, pools: [] };
    const pools: PoolOutcome[] = [];
    let after: string | undefined;
    do {
      const args = { ranks: excluded, ...(after !== undefined && { after }) };
      const reply = await this.#parts.sweep.run(args, (targets) => maps.exclude(targets));
      pools.push(...reply.pools.filter(({ outcome }) => outcome !== "unchanged"));
      after = reply.anchor;
    } while (after !== undefined);
    return { excluded, pools };
  }

  /** What rebuilding may do is told with the quotas. */
  async #refreshPools(): Promise<void> {
    const { records, quotas } = this.#parts;
    for (const { record } of await records.all("pool", POOL_PREFIX)) await quotas.refresh(record.id);
  }
}
