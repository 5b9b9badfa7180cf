/** The members of the system: whether they are who the records say, and whether their devices are there. */
import { hasCode } from "../../base/errors.ts";
import type { EngineSelf } from "../../format/engine-operations.ts";
import { MAP_PREFIX, POOL_PREFIX } from "../../format/meta-key.ts";
import type { MemberRecord } from "../../format/meta-record.ts";
import type { TargetControl } from "../target-control.ts";
import { isAway } from "../engine-set.ts";
import { takesPart } from "../pool-map-changes.ts";
import type { CheckReader } from "./check-reader.ts";
import type { Difference } from "./difference.ts";
import type { Look, Phase } from "./phase.ts";

/** What is known of one member. */
export interface MemberView {
  readonly member: MemberRecord;
  /** Or why it says nothing: it does not answer, or is of a release without checks. */
  readonly self: EngineSelf | "away" | "older";
  /** Pools that have a target of it which takes part. */
  readonly pools: number;
  /** Pools whose maps name it. */
  readonly named: number;
}

/** Why an engine says nothing; what to do, if not as usual. */
const SILENT = {
  away: ["does not answer", undefined],
  older: ["is of a release without checks", "Upgrade the engine, and check again."],
} as const;

/** Pure. */
export function compareMembers(system: string, members: readonly MemberView[]): Difference[] {
  const latest = new Map<string, MemberRecord>();
  for (const { member } of members) {
    const known = latest.get(member.engine);
    if (known === undefined || member.incarnation > known.incarnation) latest.set(member.engine, member);
  }
  return members.flatMap(({ member, self, pools, named }): Difference[] => {
    const { rank, engine, state } = member;
    const place = `rank ${rank}`;
    const subject = { rank };
    const first = latest.get(engine)!;
    if (first !== member) {
      const twin = `it is the same engine (${engine}) as rank ${first.rank}, which was started later`;
      return [{ class: "ENGINE_DUPLICATE", place, state: twin, ...(named > 0 && { action: "IGNORE" }), subject }];
    }
    if (typeof self === "string") {
      if (pools === 0) return [];
      const [why, advice] = SILENT[self];
      const silent = `it is ${state} and ${why}: what it holds was not looked at`;
      return [{ class: "ENGINE_UNREACHABLE", place, state: silent, ...(advice !== undefined && { advice }), subject }];
    }
    const found: Difference[] = [];
    if (self.system !== system || self.engine !== engine) {
      const foreign = `engine ${self.engine} of system ${self.system} answers for it, the record has ${engine}`;
      found.push({ class: "ENGINE_FOREIGN", place, state: foreign, subject });
    }
    for (const { id, state: bad, reason } of self.devices) {
      const why = reason === "" ? `it is ${bad}` : `it is ${bad}: ${reason}`;
      found.push({ class: "DEVICE_ABSENT", place: `${place}, device ${id}`, state: why, subject });
    }
    return found;
  });
}

export class EnginesPhase implements Phase {
  readonly name = "engines";
  readonly #reader: CheckReader;
  readonly #targets: TargetControl;
  readonly #system: string;

  constructor(reader: CheckReader, targets: TargetControl, system: string) {
    this.#reader = reader;
    this.#targets = targets;
    this.#system = system;
  }

  async look(): Promise<Look> {
    const { records, members } = this.#reader;
    const maps = (await records.all("map", MAP_PREFIX)).map(({ record }) => record);
    const views = await Promise.all(
      members.list().map(async (member): Promise<MemberView> => {
        const own = maps.flatMap(({ targets }) => targets.filter(({ rank }) => rank === member.rank).slice(0, 1));
        const taking = maps.filter(({ targets }) => {
          return targets.some(({ rank, state }) => rank === member.rank && takesPart(state));
        });
        return { member, self: await this.#self(member.rank), pools: taking.length, named: own.length };
      }),
    );
    const differences = [...compareMembers(this.#system, views), ...(await this.#overcommitted())];
    return { differences, looked: views.length, bytes: 0, next: undefined };
  }

  async #self(rank: number): Promise<MemberView["self"]> {
    const link = this.#reader.members.link(rank);
    if (link === undefined) return "away";
    try {
      return await link.call("identity", {});
    } catch (error) {
      if (hasCode(error, "UNSUPPORTED")) return "older";
      if (!isAway(error)) throw error;
      return "away";
    }
  }

  async #overcommitted(): Promise<Difference[]> {
    const pools = await this.#reader.records.all("pool", POOL_PREFIX);
    const givenBytes = pools.reduce((sum, { record }) => sum + record.sizeBytes, 0);
    const { scmTotalBytes, nvmeTotalBytes } = await this.#targets.space();
    if (givenBytes <= scmTotalBytes + nvmeTotalBytes) return [];
    const state = `the pools together have ${givenBytes} bytes, the devices ${scmTotalBytes + nvmeTotalBytes}`;
    return [{ class: "POOL_OVERCOMMITTED", place: "system", state, subject: {} }];
  }
}
