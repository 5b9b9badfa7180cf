/**
 * This engine's membership in a system whose control plane runs in another engine, or in one of several, this one among
 * them: says hello, joins with its targets, keeps its lease by heartbeats, joins again when it was forgotten or has missed
 * something, and says farewell.
 */
import { DaosError, hasCode } from "../base/errors.ts";
import type { TellEvent } from "../base/events.ts";
import { ENGINE_CALL_TIMEOUT_MS, HEARTBEAT_MS } from "../base/limits.ts";
import { checkEngineValue, engineSchemas } from "../format/engine-arguments.ts";
import { ENGINE_FEATURES, ENGINE_PROTOCOL_VERSION, ENGINE_VERSIONS } from "../format/engine-version.ts";
import type {
  EngineAddress,
  EngineHeartbeatArguments,
  EngineHelloArguments,
  EngineHelloReply,
  EngineJoinArguments,
  EngineMapArguments,
  EngineReference,
  EngineRoster,
  PoolAssignment,
} from "../format/engine-operations.ts";
import type { EngineEventsArguments, ReportedEvent } from "../format/event-operations.ts";
import { Opcode } from "../format/operations.ts";
import type { RpcAnswer } from "../rpc/pending-call.ts";
import type { LeaseKeeper } from "./lease-keeper.ts";
import { formatListenAddress } from "./listen-address.ts";
import { PeerLink, type PeerParts } from "./peer-link.ts";

const HELLO_TIMEOUT_MS = 5_000;
const HEARTBEAT_TIMEOUT_MS = 1_500;
const FAREWELL_TIMEOUT_MS = 1_000;
const EVENTS_TIMEOUT_MS = 2_000;
/** How long an engine that was never part of the system tries to reach it. */
const FIRST_JOIN_MS = 3_000;
const RETRY_MS = 300;
/** Redirections that are followed. */
const MAX_REDIRECTS = 4;

export type HelloFacts = Omit<EngineHelloArguments, "sentAtMs" | "version" | "oldest">;

/** Who answered a hello, and where the control plane is. */
export interface Greeting {
  readonly reply: EngineHelloReply;
  readonly control: EngineAddress;
}

/**
 * Asks at `address`, follows to the control plane. A control plane that is older may know only that it speaks one version:
 * it is asked once more in each that we do. Rejects with UNAVAILABLE, or what the control plane refuses with.
 */
export async function sayHello(
  address: EngineAddress,
  facts: HelloFacts,
  key: Uint8Array | undefined,
  parts: PeerParts,
): Promise<Greeting> {
  let at = address;
  let version = ENGINE_PROTOCOL_VERSION;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects += 1) {
    const link = new PeerLink(at, key, parts);
    try {
      const body = { ...facts, version, oldest: ENGINE_VERSIONS.oldest };
      const answer = await link.send<EngineHelloArguments>(Opcode.engineHello, body, HELLO_TIMEOUT_MS);
      const redirect = engineSchemas.redirect.safeParse(answer);
      if (!redirect.success) {
        return { reply: checkEngineValue(engineSchemas.helloReply, "engineHello", answer), control: at };
      }
      at = redirect.data.control;
    } catch (error) {
      if (!hasCode(error, "VERSION") || version === ENGINE_VERSIONS.oldest) throw error;
      version -= 1;
    } finally {
      link.close();
    }
  }
  throw new DaosError("UNAVAILABLE", `Cannot join at ${formatListenAddress(address)}: its engines name each other.`);
}

/** As sayHello, for an engine that was never part of the system: tries for a while. */
export async function sayFirstHello(
  address: EngineAddress,
  facts: HelloFacts,
  key: Uint8Array | undefined,
  parts: PeerParts,
  canceled: AbortSignal | undefined,
): Promise<Greeting> {
  const deadlineNs = parts.clock.monotonicNs() + FIRST_JOIN_MS * 1e6;
  for (;;) {
    try {
      return await sayHello(address, facts, key, parts);
    } catch (error) {
      if (!isPassing(error)) throw error;
      if (parts.clock.monotonicNs() > deadlineNs) throw unreachable(address, error);
      await pause(parts, RETRY_MS, canceled);
    }
  }
}

export interface SystemMemberParts {
  readonly peers: PeerParts;
  readonly key: Uint8Array;
  readonly facts: HelloFacts;
  readonly rank: number;
  readonly incarnation: number;
  readonly join: Pick<EngineJoinArguments, "address" | "targets" | "scmBytes" | "nvmeBytes">;
  readonly lease: LeaseKeeper;
  /** Hears who belongs to the system. */
  readonly adoptRoster: (roster: EngineRoster) => void;
  /** Addresses to ask for the control plane, best first; `last`: where it was found last. */
  readonly addresses: (last: EngineAddress | undefined) => readonly EngineAddress[];
  /** The control plane was found there. */
  readonly found: (control: EngineAddress) => void;
  readonly event: TellEvent;
  readonly canceled: AbortSignal | undefined;
}

export class SystemMember {
  readonly #parts: SystemMemberParts;
  #control: PeerLink | undefined;
  #joining: Promise<void> | undefined;
  #isStopped = false;
  #rosterVersion = 0;
  /** As the control plane has agreed to. */
  #version: number = ENGINE_VERSIONS.oldest;
  #cancelBeat: (() => void) | undefined;

  constructor(parts: SystemMemberParts) {
    this.#parts = parts;
  }

  /** Where the control plane was when we joined last. */
  get control(): EngineAddress | undefined {
    return this.#control?.address;
  }

  /** The control plane is elsewhere now: what waits for an answer of the one before fails, and it joins there. */
  follow(): void {
    this.#control?.close();
    this.#control = undefined;
    this.#joinAgain();
  }

  /** Joins, however long that takes, and holds a lease when it resolves. Rejects with what joining is refused with. */
  async start(): Promise<void> {
    const { event, peers, canceled } = this.#parts;
    let hasTold = false;
    // While it is told its pools, which may take a while, the control plane must hear that it lives.
    this.#schedule();
    for (;;) {
      try {
        await this.#join();
        const untilNs = await this.#beat();
        if (untilNs !== undefined) return await this.#parts.lease.grant(untilNs);
      } catch (error) {
        if (!isPassing(error) && !hasCode(error, "STALE")) throw error;
        if (!hasTold) event("warn", `waiting for the control plane: ${(error as DaosError).message}`);
        hasTold = true;
      }
      await pause(peers, RETRY_MS, canceled);
    }
  }

  /** Joins and renews no more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelBeat?.();
    await this.#joining?.catch(() => {});
  }

  /** After `stop`: says that it serves no more. */
  async sayFarewell(): Promise<void> {
    try {
      await this.#link.send<EngineReference>(Opcode.engineLeave, this.#reference, FAREWELL_TIMEOUT_MS);
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
    }
    this.#control?.close();
  }

  /** A client's request, for the control plane to answer. */
  async forward(opcode: number, args: Uint8Array): Promise<RpcAnswer> {
    return this.#link.forward(opcode as Opcode, args, ENGINE_CALL_TIMEOUT_MS * 2);
  }

  /** Resolves when the control plane keeps them. Rejects with VERSION when that is older than events. */
  async report(events: readonly ReportedEvent[]): Promise<void> {
    if (this.#version < ENGINE_FEATURES.events.since) {
      throw new DaosError(
        "VERSION",
        "Cannot report events: the control plane is older. Upgrade the engine that leads.",
      );
    }
    const body = { ...this.#reference, events };
    await this.#link.send<EngineEventsArguments>(Opcode.engineEvents, body, EVENTS_TIMEOUT_MS);
  }

  async map(pool: string): Promise<PoolAssignment> {
    const body = { rank: this.#parts.rank, pool };
    const answer = await this.#link.send<EngineMapArguments>(Opcode.engineMap, body, HELLO_TIMEOUT_MS);
    return checkEngineValue(engineSchemas.assignment, "engineMap", answer);
  }

  get #link(): PeerLink {
    if (this.#control !== undefined) return this.#control;
    throw new DaosError("UNAVAILABLE", "Cannot reach the control plane: the engine has not joined it yet. Retry.");
  }

  get #reference(): Omit<EngineReference, "sentAtMs"> {
    const { rank, incarnation } = this.#parts;
    return { rank, incarnation };
  }

  #schedule(): void {
    if (this.#isStopped) return;
    this.#cancelBeat = this.#parts.peers.timers.after(HEARTBEAT_MS, () => {
      void this.#beat().then(
        (untilNs) => {
          this.#schedule();
          if (untilNs !== undefined) this.#renew(untilNs);
        },
        (error: unknown) => {
          if (!(error instanceof DaosError)) throw error;
          this.#schedule();
        },
      );
    });
  }

  /** Not waited for: a target that hangs must not keep the others from their leases. */
  #renew(untilNs: number): void {
    this.#parts.lease.grant(untilNs).catch((error: unknown) => {
      // The thread has ended, and the engine with it.
      if (!(error instanceof DaosError)) throw error;
    });
  }

  /** One heartbeat: until when the targets may serve; undefined when it must join first, which begins in the background. */
  async #beat(): Promise<number | undefined> {
    try {
      const untilNs = await this.#askLease();
      if (untilNs === undefined) this.#joinAgain();
      return untilNs;
    } catch (error) {
      if (hasCode(error, "STALE") || isPassing(error)) this.#joinAgain();
      throw error;
    }
  }

  /** Until when the targets may serve; undefined when it must join first. */
  async #askLease(): Promise<number | undefined> {
    const sentNs = this.#parts.peers.clock.monotonicNs();
    const body = { ...this.#reference, roster: this.#rosterVersion };
    const answer = await this.#link.send<EngineHeartbeatArguments>(Opcode.engineHeartbeat, body, HEARTBEAT_TIMEOUT_MS);
    const { leaseMs, roster } = checkEngineValue(engineSchemas.heartbeatReply, "engineHeartbeat", answer);
    if (roster !== undefined) this.#parts.adoptRoster(roster);
    this.#rosterVersion = roster?.version ?? this.#rosterVersion;
    return leaseMs > 0 ? sentNs + leaseMs * 1e6 : undefined;
  }

  #joinAgain(): void {
    if (this.#joining !== undefined || this.#isStopped) return;
    this.#join()
      .then(() => this.#askLease())
      .then(
        (untilNs) => {
          if (untilNs !== undefined) this.#renew(untilNs);
        },
        (error: unknown) => {
          if (!(error instanceof DaosError)) throw error;
          const isExpected = isPassing(error) || hasCode(error, "STALE");
          if (!isExpected) this.#parts.event("error", (error as DaosError).message);
        },
      );
  }

  /** One attempt at a time. */
  #join(): Promise<void> {
    this.#joining ??= this.#joinOnce().finally(() => (this.#joining = undefined));
    return this.#joining;
  }

  /** Goes through the addresses: hello, then join. Rejects with the last one's failure. */
  async #joinOnce(): Promise<void> {
    const { addresses, facts, key, peers, rank, incarnation, join, found } = this.#parts;
    let failure: unknown = new DaosError("UNAVAILABLE", "Cannot join: no engine is known to run the control plane.");
    for (const address of addresses(this.control)) {
      try {
        const { control, reply } = await sayHello(address, facts, key, peers);
        this.#version = reply.version ?? ENGINE_VERSIONS.oldest;
        const last = this.control;
        if (last === undefined || formatListenAddress(control) !== formatListenAddress(last)) {
          this.#control?.close();
          this.#control = new PeerLink(control, key, peers);
        }
        found(control);
        this.#rosterVersion = 0;
        const { engine, domain } = facts;
        const release = { version: this.#version, software: peers.software };
        const body = { ...join, engine, domain, rank, incarnation, ...release };
        await this.#link.send<EngineJoinArguments>(Opcode.engineJoin, body, ENGINE_CALL_TIMEOUT_MS);
        return;
      } catch (error) {
        if (!isPassing(error)) throw error;
        failure = error;
      }
    }
    throw failure;
  }
}

/** The system cannot be reached now, or is not ready. */
function isPassing(error: unknown): boolean {
  return (["UNAVAILABLE", "TIMEOUT", "OVERLOADED", "CONFLICT"] as const).some((code) => hasCode(error, code));
}

function pause({ timers }: PeerParts, delayMs: number, canceled: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      cancel();
      reject(new DaosError("CANCELED", "Cannot join the system: the start was canceled."));
    };
    const cancel = timers.after(delayMs, () => {
      canceled?.removeEventListener("abort", abort);
      resolve();
    });
    if (canceled?.aborted === true) abort();
    else canceled?.addEventListener("abort", abort, { once: true });
  });
}

function unreachable(address: EngineAddress, cause: unknown): DaosError {
  const at = formatListenAddress(address);
  const advice = "Start the first engine, or name an engine of the system with --join HOST:PORT";
  return new DaosError("UNAVAILABLE", `Cannot join the system at ${at}: no engine answers there. ${advice}.`, {
    cause,
  });
}
