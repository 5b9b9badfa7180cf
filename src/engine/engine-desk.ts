/**
 * The operations among engines on a management listener: bodies opened, signatures judged, and handed to the control
 * plane, or to this engine where they command it. On an engine without the control plane `engineHello` tells where that
 * is. Commands of a control plane that was followed by another one are refused.
 */
import { DaosError } from "../base/errors.ts";
import type { Hmac } from "../control/capability-authority.ts";
import type { EngineAdmission } from "../control/engine-admission.ts";
import type { Clock } from "../contracts/world.ts";
import { encodeCbor } from "../format/cbor.ts";
import { checkEngineValue, engineSchemas } from "../format/engine-arguments.ts";
import type { EngineAddress } from "../format/engine-operations.ts";
import { Opcode } from "../format/operations.ts";
import type { RpcPeer, RpcRequest } from "../rpc/request.ts";
import { openMessage } from "./engine-messages.ts";
import type { EngineService } from "./engine-service.ts";
import { isLoopback, isWildcard } from "./listen-address.ts";

/** The control plane as this engine sees it. */
export interface ControlDesk {
  /** Where it runs in this engine, now. */
  readonly admission: EngineAdmission | undefined;
  /** Else where it runs; undefined when that is not known. */
  readonly address: EngineAddress | undefined;
}

/** The engine whose heartbeats come on a connection. */
interface PeerSession {
  readonly rank: number;
  readonly incarnation: number;
}

export interface EngineDeskParts {
  readonly engine: EngineService;
  readonly key: Uint8Array;
  readonly hmac: Hmac;
  readonly clock: Clock;
  readonly control: ControlDesk;
  /** Engines that were never part of the system may join from other machines. */
  readonly allowsStrangers: boolean;
}

export class EngineDesk {
  readonly #parts: EngineDeskParts;
  /** Of whose commands this engine has heard. */
  #term = 0;

  constructor(parts: EngineDeskParts) {
    this.#parts = parts;
  }

  /** Whether the opcode is one of these. */
  serves(opcode: number): boolean {
    return opcode >= Opcode.engineHello && opcode <= Opcode.engineRenew;
  }

  /** The answer's payload. `request`'s bytes are read before the first await. */
  async run(request: RpcRequest): Promise<Uint8Array> {
    const { key, hmac, clock } = this.#parts;
    const { opcode, args, payload, connection } = request;
    const { body, isSigned } = openMessage(opcode, { args, payload }, hmac, key, clock.wallMs());
    if (!isSigned && opcode !== Opcode.engineHello) {
      throw new DaosError(
        "PERMISSION",
        "Cannot take the message of an engine: it is not signed. Join the system first.",
      );
    }
    return encodeCbor(await this.#answer(opcode, body, isSigned, connection));
  }

  /** A connection has ended. */
  connectionClosed(connection: RpcPeer): void {
    const session = connection.session as PeerSession | undefined;
    if (session !== undefined) this.#parts.control.admission?.lost(session);
  }

  async #answer(opcode: number, body: unknown, isSigned: boolean, connection: RpcPeer): Promise<object> {
    const { control, engine } = this.#parts;
    if (opcode === Opcode.engineCall) {
      const { name, value, term } = checkEngineValue(engineSchemas.call, "engineCall", body);
      this.#checkTerm(name, term);
      return engine.run(name, value ?? {});
    }
    const { admission, address } = control;
    if (admission !== undefined) return this.#admit(admission, opcode, body, isSigned, connection);
    if (opcode === Opcode.engineHello && address !== undefined) return { control: address };
    throw new DaosError("UNAVAILABLE", "Cannot serve the engine: the control plane is elsewhere. Say hello again.");
  }

  /** A control plane that has lost its term without knowing it commands nobody who has heard of the next one. */
  #checkTerm(name: string, term = 0): void {
    if (term < this.#term) {
      const state = `it comes from the control plane of term ${term}, and this engine has heard of term ${this.#term}`;
      throw new DaosError("UNAVAILABLE", `Cannot run call "${name}": ${state}. Try again.`);
    }
    this.#term = term;
  }

  async #admit(
    admission: EngineAdmission,
    opcode: number,
    body: unknown,
    isSigned: boolean,
    connection: RpcPeer,
  ): Promise<object> {
    switch (opcode) {
      case Opcode.engineHello: {
        const hello = checkEngineValue(engineSchemas.hello, "engineHello", body);
        const mayBegin = this.#parts.allowsStrangers || isLoopback(hostOf(connection));
        return admission.hello(hello, isSigned, mayBegin);
      }
      case Opcode.engineJoin: {
        const join = checkEngineValue(engineSchemas.join, "engineJoin", body);
        const reached = (address: EngineAddress): EngineAddress =>
          isWildcard(address.host) ? { host: hostOf(connection), port: address.port } : address;
        await admission.join({ ...join, address: reached(join.address), targets: join.targets.map(reached) });
        return {};
      }
      case Opcode.engineHeartbeat: {
        const heartbeat = checkEngineValue(engineSchemas.heartbeat, "engineHeartbeat", body);
        const { rank, incarnation } = heartbeat;
        connection.session = { rank, incarnation } satisfies PeerSession;
        return admission.heartbeat(heartbeat);
      }
      case Opcode.engineLeave:
        await admission.leave(checkEngineValue(engineSchemas.reference, "engineLeave", body));
        return {};
      case Opcode.engineEvents:
        await admission.events(checkEngineValue(engineSchemas.events, "engineEvents", body));
        return {};
      case Opcode.engineRenew:
        await admission.renew(checkEngineValue(engineSchemas.renew, "engineRenew", body));
        return {};
      case Opcode.engineMap:
        return admission.map(checkEngineValue(engineSchemas.map, "engineMap", body));
      default:
        throw new DaosError("UNSUPPORTED", `Cannot run operation ${opcode}: not known here. Use a newer server.`);
    }
  }
}

/** Of `host:port`. */
function hostOf({ remoteAddress }: RpcPeer): string {
  return remoteAddress.slice(0, remoteAddress.lastIndexOf(":"));
}
