/**
 * Runs the failure detection (src/membership) of this engine: its datagrams, on the port of the management listener, and
 * its timer. Whoever has the roster of the system hands it over. What cannot be sent, or is no datagram of this system,
 * is lost.
 */
import type { Uuid } from "../base/uuid.ts";
import type { Hmac } from "../control/capability-authority.ts";
import type { Verdict, Verdicts } from "../control/verdicts.ts";
import type { DatagramSocket, World } from "../contracts/world.ts";
import type { EngineAddress, EngineRoster } from "../format/engine-operations.ts";
import {
  decodeMembershipMessage,
  encodeMembershipMessage,
  type MembershipMessage,
  MemberState,
} from "../format/membership-message.ts";
import { Roster } from "../membership/roster.ts";
import type { SwimSettings } from "../membership/settings.ts";
import { Swim } from "../membership/swim.ts";

export interface FailureDetectorParts {
  readonly world: Pick<World, "clock" | "timers" | "random" | "datagrams">;
  readonly rank: number;
  readonly incarnation: number;
  readonly system: Uuid;
  /** The system's. */
  readonly key: Uint8Array;
  readonly hmac: Hmac;
  readonly settings: SwimSettings;
}

export class FailureDetector implements Verdicts {
  readonly #parts: FailureDetectorParts;
  readonly #swim: Swim;
  readonly #addresses = new Map<number, EngineAddress>();
  /** Since when members are dead. */
  readonly #deadAtMs = new Map<number, number>();
  #socket: DatagramSocket | undefined;
  #cancel: (() => void) | undefined;
  #armedMs = Number.POSITIVE_INFINITY;
  /** Where what is being answered came from, for who is in no roster yet. */
  #sender: { readonly rank: number; readonly address: EngineAddress } | undefined;
  #isClosed = false;

  constructor(parts: FailureDetectorParts) {
    const { rank, incarnation: start, settings, world } = parts;
    this.#parts = parts;
    this.#swim = new Swim(
      {
        rank,
        start,
        settings,
        random: world.random,
        send: (message) => this.#send(message),
        changed: ({ rank: other, state }) => {
          if (state === MemberState.dead) this.#deadAtMs.set(other, this.#nowMs());
          else this.#deadAtMs.delete(other);
        },
      },
      new Roster([{ rank, start }]),
      this.#nowMs(),
    );
  }

  /** Rejects with UNAVAILABLE when the address is in use. */
  async start({ host, port }: EngineAddress): Promise<void> {
    const socket = await this.#parts.world.datagrams.bind(host, port, (bytes, fromHost, fromPort) =>
      this.#received(bytes, { host: fromHost, port: fromPort }),
    );
    if (this.#isClosed) return socket.close();
    this.#socket = socket;
    this.#arm();
  }

  adopt({ members }: EngineRoster): void {
    this.#addresses.clear();
    for (const { rank, address } of members) this.#addresses.set(rank, address);
    this.#swim.adopt(new Roster(members.map(({ rank, incarnation }) => ({ rank, start: incarnation }))));
    for (const rank of this.#deadAtMs.keys()) {
      if (this.#swim.state(rank)?.state !== MemberState.dead) this.#deadAtMs.delete(rank);
    }
    this.#arm();
  }

  of(rank: number): Verdict | undefined {
    const state = this.#swim.state(rank)?.state;
    const nowMs = this.#nowMs();
    switch (state) {
      case undefined:
      case MemberState.left:
        return undefined;
      case MemberState.alive:
        return { state: "alive", atMs: nowMs };
      case MemberState.suspect:
        return { state: "suspect", atMs: this.#swim.deadAtMs(rank) ?? nowMs };
      case MemberState.dead:
        return { state: "dead", atMs: this.#deadAtMs.get(rank) ?? nowMs };
      default:
        return state satisfies never;
    }
  }

  get isAlone(): boolean {
    return this.#swim.goneCount * 2 > this.#swim.roster.size;
  }

  /** Takes leave of the others; nothing is heard or sent any more. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#swim.leave();
    this.#cancel?.();
    this.#socket?.close();
  }

  #nowMs(): number {
    return this.#parts.world.clock.monotonicNs() / 1e6;
  }

  #received(bytes: Uint8Array, address: EngineAddress): void {
    const { system, hmac, key } = this.#parts;
    const message = decodeMembershipMessage(bytes, system, (signed) => hmac(key, signed));
    if (message === undefined || this.#isClosed) return;
    this.#sender = { rank: message.from, address };
    this.#swim.receive(message, this.#nowMs());
    this.#sender = undefined;
    this.#arm();
  }

  #send(message: MembershipMessage): void {
    const { system, hmac, key } = this.#parts;
    const sender = this.#sender?.rank === message.to ? this.#sender.address : undefined;
    const address = this.#addresses.get(message.to) ?? sender;
    if (address === undefined || this.#socket === undefined) return;
    const bytes = encodeMembershipMessage(message, system, (signed) => hmac(key, signed));
    this.#socket.send(bytes, address.host, address.port);
  }

  #arm(): void {
    const { dueMs } = this.#swim;
    if (this.#isClosed || this.#socket === undefined || dueMs === this.#armedMs) return;
    this.#cancel?.();
    this.#armedMs = dueMs;
    this.#cancel = this.#parts.world.timers.after(Math.max(0, dueMs - this.#nowMs()), () => {
      this.#armedMs = Number.POSITIVE_INFINITY;
      this.#swim.tick(this.#nowMs());
      this.#arm();
    });
  }
}
