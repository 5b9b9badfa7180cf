/**
 * The engines of the system: their records, where they listen, and how to reach those that are here. A rank is given once
 * and never again. What an engine may know and do is decided here; who lives is membership.ts's to say.
 */
import { DaosError } from "../base/errors.ts";
import { MAX_ENGINES } from "../base/limits.ts";
import type { Clock } from "../contracts/world.ts";
import type {
  EngineAddress,
  EngineCallName,
  EngineCalls,
  EngineHelloArguments,
  EngineJoinArguments,
  EngineReference,
  EngineRoster,
} from "../format/engine-operations.ts";
import { ENGINE_PROTOCOL_VERSION } from "../format/engine-version.ts";
import { MEMBER_PREFIX, memberKey, RANK_COUNTER_KEY } from "../format/meta-key.ts";
import type { MemberRecord } from "../format/meta-record.ts";
import type { EngineState } from "../format/operations.ts";
import { Membership, type MembershipSettings } from "./membership.ts";
import type { Verdict, Verdicts } from "./verdicts.ts";
import { EngineReleases } from "./engine-releases.ts";
import { refuseCopy } from "./storage-copy.ts";
import { absent, type Change, type MetaRecords, putRecord, unchanged } from "./meta-records.ts";
import { newMember } from "./new-member.ts";

/** Of the engine that began the system. */
export const FIRST_RANK = 0;

/** One engine as the control plane commands it. Calls reject with UNAVAILABLE or TIMEOUT when it cannot be reached. */
export interface EngineLink {
  call<Name extends EngineCallName>(
    name: Name,
    value: Parameters<EngineCalls[Name]>[0],
  ): Promise<ReturnType<EngineCalls[Name]>>;
  close(): void;
}

/** The engine of the control plane itself, where no other engine can take the control plane over. */
export interface OwnEngine {
  readonly engine: string;
  /** When it was started, milliseconds since 1970. */
  readonly incarnation: number;
  readonly domain: string;
  readonly address: EngineAddress;
  readonly targets: readonly EngineAddress[];
  readonly scmBytes: number;
  readonly nvmeBytes: number;
  readonly link: EngineLink;
}

export interface MembersParts {
  readonly records: MetaRecords;
  readonly clock: Clock;
  readonly settings: MembershipSettings;
  readonly verdicts: Verdicts;
  /** A link to the engine that listens there; connects when it is called. */
  readonly dial: (address: EngineAddress) => EngineLink;
  readonly system: { readonly id: string; readonly name: string };
  /** Release of this program. */
  readonly software: string;
}

export class Members {
  readonly life: Membership;
  readonly #parts: MembersParts;
  readonly #byRank = new Map<number, MemberRecord>();
  readonly #links = new Map<number, EngineLink>();
  readonly releases = new EngineReleases();
  /** Undefined where the control plane's own engine joins as all others do. */
  #ownRank: number | undefined;
  #ownIncarnation = 0;
  #roster: EngineRoster | undefined;
  #rosterVersion = 0;

  constructor(parts: MembersParts) {
    this.#parts = parts;
    this.life = new Membership(parts.settings);
  }

  nowMs(): number {
    return this.#parts.clock.monotonicNs() / 1e6;
  }

  /** At start: reads the records and writes down where our own engine, the first one, listens now, unless that is known. */
  async start(own: OwnEngine | undefined): Promise<void> {
    const { records } = this.#parts;
    this.#ownRank = own === undefined ? undefined : FIRST_RANK;
    for (const { record } of await records.all("member", MEMBER_PREFIX)) {
      this.#keep(record);
      if (record.rank !== this.#ownRank && record.state === "joined") this.life.remember(record.rank, this.nowMs());
    }
    if (own === undefined) return;
    const { link, address, targets, engine, domain, scmBytes, nvmeBytes } = own;
    this.#ownIncarnation = own.incarnation;
    const { host, port } = address;
    this.#links.set(FIRST_RANK, link);
    this.releases.joined(FIRST_RANK, { version: ENGINE_PROTOCOL_VERSION, software: this.#parts.software });
    await this.#write(FIRST_RANK, () => ({
      rank: FIRST_RANK,
      engine,
      state: "joined",
      domain,
      incarnation: 0,
      host,
      port,
      targets: [...targets],
      scmBytes,
      nvmeBytes,
    }));
  }

  /** Throws NOT_FOUND. */
  check(rank: number): void {
    if (this.#byRank.has(rank)) return;
    throw new DaosError("NOT_FOUND", `Cannot find rank ${rank}: the system has none. See \`daos system query\`.`);
  }

  /** Its management listener, for people; empty while that is not known. */
  addressOf(rank: number): string {
    const { host = "", port } = this.#byRank.get(rank) ?? {};
    if (host === "") return "";
    return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  }

  /** Ascending by rank. */
  list(): MemberRecord[] {
    return [...this.#byRank.values()].toSorted((left, right) => left.rank - right.rank);
  }

  get(rank: number): MemberRecord | undefined {
    return this.#byRank.get(rank);
  }

  /**
   * Those that look after each other. The version says whether it is another one, also after a start of the control
   * plane.
   */
  roster(): EngineRoster {
    if (this.#roster !== undefined) return this.#roster;
    const joined = this.list().filter(({ state, port }) => state === "joined" && port > 0);
    const members = joined.map(({ rank, incarnation, host, port }) => ({
      rank,
      incarnation: rank === this.#ownRank ? this.#ownIncarnation : incarnation,
      address: { host, port },
    }));
    this.#rosterVersion = Math.max(this.#rosterVersion + 1, Math.floor(this.#parts.clock.wallMs()));
    this.#roster = { version: this.#rosterVersion, members };
    return this.#roster;
  }

  /** The link to an engine that is here; undefined when it is away, a suspect included: it must join again then. */
  link(rank: number): EngineLink | undefined {
    const link = this.#links.get(rank);
    if (link === undefined || !this.life.isSuspect(rank, this.nowMs())) return link;
    this.missed(rank);
    return undefined;
  }

  /** Whether every other engine that the system has, here or not, promises not to lead while the leader of `term` does. */
  async askPledges(ownRank: number, term: number): Promise<boolean> {
    const others = [...this.#byRank.keys()].filter((rank) => rank !== ownRank);
    const pledged = await Promise.all(
      others.map(async (rank) => {
        try {
          return (await this.#links.get(rank)?.call("pledge", { term }))?.isPledged === true;
        } catch (error) {
          if (!(error instanceof DaosError)) throw error;
          return false;
        }
      }),
    );
    return pledged.every(Boolean);
  }

  /** The engine was not told something: it gets no lease before it has joined again and knows it. */
  missed(rank: number): void {
    if (rank !== this.#ownRank) this.life.withhold(rank);
  }

  state(rank: number): EngineState {
    const record = this.#byRank.get(rank);
    if (record?.state === "joined" && this.#isDoubted(rank)) return "suspect";
    return record?.state ?? "new";
  }

  /** It answers, as far as one knows. */
  isHere(rank: number): boolean {
    return this.state(rank) === "joined";
  }

  /** By its silence, or by what the engines find among themselves. */
  #isDoubted(rank: number): boolean {
    return (this.#verdict(rank)?.state ?? "alive") !== "alive" || this.life.isSuspect(rank, this.nowMs());
  }

  /** Which engines are due to be excluded. */
  dueExclusions(): number[] {
    return this.life.tick(this.nowMs(), (rank) => {
      const verdict = this.#verdict(rank);
      return verdict?.state === "dead" ? verdict.atMs : undefined;
    });
  }

  /** When a suspect will be excluded unless it is heard of; undefined: never. */
  exclusionAtMs(rank: number): number | undefined {
    const verdict = this.#verdict(rank);
    return this.life.exclusionAtMs(rank, verdict?.state === "alive" ? undefined : verdict?.atMs);
  }

  /** Whether the other engines have found a suspect dead. */
  isFoundDead(rank: number): boolean {
    return this.#verdict(rank)?.state === "dead" && this.life.isSuspect(rank, this.nowMs());
  }

  /** Whether the engines do not hear of it by datagrams while it sends heartbeats. */
  isHeardOnlyHere(rank: number): boolean {
    return this.#verdict(rank)?.state === "dead" && !this.life.isSuspect(rank, this.nowMs());
  }

  #verdict(rank: number): Verdict | undefined {
    const { verdicts } = this.#parts;
    return rank === this.#ownRank || verdicts.isAlone ? undefined : verdicts.of(rank);
  }

  /**
   * The rank of an engine that wants to join. `isKnown`: its message was signed; `mayBegin`: one that was never part of the
   * system may become part of it from where it asks. Throws CONFIGURATION, PERMISSION, TOO_LARGE.
   */
  async hello(args: EngineHelloArguments, isKnown: boolean, mayBegin: boolean): Promise<number> {
    const { id, name } = this.#parts.system;
    const { engine, system } = args;
    if (system !== undefined && (system.id !== id || system.name !== name)) {
      const state = `it belongs to system "${system.name}" (${system.id}), this is "${name}" (${id})`;
      throw new DaosError(
        "CONFIGURATION",
        `Cannot join engine ${engine}: ${state}. Name its own system, or give it an empty storage folder.`,
      );
    }
    const known = this.list().find((record) => record.engine === engine);
    if (known !== undefined && (isKnown || (known.state === "new" && mayBegin))) return known.rank;
    if (known !== undefined || !mayBegin) throw refused(engine, known !== undefined);
    if (system !== undefined) {
      const state = `system "${name}" does not know it`;
      throw new DaosError("PERMISSION", `Cannot join engine ${engine}: ${state}. Give it an empty storage folder.`);
    }
    return this.#add(args);
  }

  /** Rejects with PERMISSION (another rank), ALREADY_EXISTS (it is running already). The engine is not served yet. */
  async join(args: EngineJoinArguments): Promise<EngineLink> {
    const { rank, engine, incarnation, domain, address, targets, scmBytes, nvmeBytes } = args;
    if (this.#byRank.get(rank)?.engine !== engine || rank === this.#ownRank) throw refused(engine, true);
    const present = this.life.incarnation(rank);
    const known = { link: this.#links.get(rank), record: this.#byRank.get(rank)!, incarnation: present };
    await refuseCopy(args, known);
    const { host, port } = address;
    await this.#write(rank, () => ({
      rank,
      engine,
      state: "joined",
      domain,
      incarnation,
      host,
      port,
      targets: [...targets],
      scmBytes,
      nvmeBytes,
    }));
    this.#links.get(rank)?.close();
    const link = this.#parts.dial(address);
    this.#links.set(rank, link);
    this.releases.joined(rank, args);
    return link;
  }

  /** The engine was told to stop. It serves until it says farewell; its record says already that nobody is to miss it. */
  async leaving({ rank, incarnation }: Pick<EngineReference, "rank" | "incarnation">): Promise<void> {
    if (this.#byRank.get(rank)?.incarnation !== incarnation || rank === this.#ownRank) return;
    this.life.leaving(rank);
    await this.setState(rank, "stopped");
  }

  /** The engine said farewell. False when it had left before. */
  async left({ rank, incarnation }: Pick<EngineReference, "rank" | "incarnation">): Promise<boolean> {
    const record = this.#byRank.get(rank);
    if (record?.incarnation !== incarnation || rank === this.#ownRank) return false;
    this.life.left(rank);
    this.away(rank);
    await this.setState(rank, "stopped");
    return record.state !== "stopped";
  }

  /** It is not asked any more until it joins again. */
  away(rank: number): void {
    if (rank === this.#ownRank) return;
    this.#links.get(rank)?.close();
    this.#links.delete(rank);
  }

  /** The rank is no part of the system any more. */
  async forget(rank: number): Promise<void> {
    const { records } = this.#parts;
    this.away(rank);
    await records.change(`forget engine ${rank}`, async () => {
      const stored = await records.get("member", memberKey(rank));
      if (stored === undefined) return { compares: [], operations: [], result: undefined };
      return { compares: [unchanged(stored)], operations: [{ remove: stored.key }], result: undefined };
    });
    this.#byRank.delete(rank);
    this.#roster = undefined;
  }

  async setState(rank: number, state: MemberRecord["state"]): Promise<void> {
    await this.#write(rank, (stored) => (stored === undefined ? undefined : { ...stored, state }));
  }

  /** Its management listener is there now. */
  async moved(rank: number, { host, port }: EngineAddress): Promise<void> {
    await this.#write(rank, (stored) => (stored === undefined ? undefined : { ...stored, host, port }));
  }

  close(): void {
    for (const link of this.#links.values()) link.close();
  }

  #keep(record: MemberRecord): void {
    this.#byRank.set(record.rank, record);
    this.#roster = undefined;
  }

  #add({ engine, domain, targets }: EngineHelloArguments): Promise<number> {
    const { records } = this.#parts;
    return records.change(`join engine ${engine}`, async () => {
      if (this.#byRank.size >= MAX_ENGINES) {
        const state = `the system has ${MAX_ENGINES} engines, the most there may be`;
        throw new DaosError("TOO_LARGE", `Cannot join engine ${engine}: ${state}.`);
      }
      const twin = this.list().find((record) => record.engine === engine);
      if (twin !== undefined) return { compares: [], operations: [], result: twin.rank };
      const counter = await records.get("counter", RANK_COUNTER_KEY);
      const rank = (counter?.record.value ?? FIRST_RANK) + 1;
      const record = newMember(rank, { engine, domain, targets });
      this.#keep(record);
      return {
        compares: [absent(memberKey(rank)), { key: RANK_COUNTER_KEY, revision: counter?.revision ?? 0 }],
        operations: [
          putRecord("member", memberKey(rank), record),
          putRecord("counter", RANK_COUNTER_KEY, { value: rank }),
        ],
        result: rank,
      };
    });
  }

  #write(rank: number, next: (stored: MemberRecord | undefined) => MemberRecord | undefined): Promise<void> {
    const { records } = this.#parts;
    return records.change(`write down engine ${rank}`, async (): Promise<Change<void>> => {
      const stored = await records.get("member", memberKey(rank));
      const record = next(stored?.record);
      if (record === undefined) return { compares: [], operations: [], result: undefined };
      this.#keep(record);
      if (stored !== undefined && JSON.stringify(stored.record) === JSON.stringify(record)) {
        return { compares: [], operations: [], result: undefined };
      }
      return {
        compares: [stored === undefined ? absent(memberKey(rank)) : unchanged(stored)],
        operations: [putRecord("member", memberKey(rank), record)],
        result: undefined,
      };
    });
  }
}

function refused(engine: string, isMember: boolean): DaosError {
  const state = isMember
    ? "it is a member, and the message is not signed with the system's key"
    : "engines may join from this machine only";
  const advice = isMember
    ? "Start it on its own storage folder."
    : "Set transport_config.allow_insecure on the first engine to let others in.";
  return new DaosError("PERMISSION", `Cannot join engine ${engine}: ${state}. ${advice}`);
}
