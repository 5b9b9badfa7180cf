/**
 * The operations among engines on a management listener: bodies opened, signatures judged, and handed to the control
 * plane, or to this engine where they command it. On an engine without the control plane `engineHello` tells where that
 * is.
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
  /** The control plane, where it runs in this engine; else where it runs. */
  readonly control: { readonly admission: EngineAdmission } | { readonly address: () => EngineAddress };
  /** Engines that were never part of the system may join from other machines. */
  readonly allowsStrangers: boolean;
}

export class EngineDesk {
  readonly #parts: EngineDeskParts;

  constructor(parts: EngineDeskParts) {
    this.#parts = parts;
  }

  /** Whether the opcode is one of these. */
  serves(opcode: number): boolean {
    return opcode >= Opcode.engineHello && opcode <= Opcode.engineCall;
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
    if (session !== undefined && "admission" in this.#parts.control) this.#parts.control.admission.lost(session);
  }

  async #answer(opcode: number, body: unknown, isSigned: boolean, connection: RpcPeer): Promise<object> {
    const { control, engine } = this.#parts;
    if (opcode === Opcode.engineCall) {
      const { name, value } = checkEngineValue(engineSchemas.call, "engineCall", body);
      return engine.run(name, value ?? {});
    }
    if (!("admission" in control)) {
      if (opcode === Opcode.engineHello) return { control: control.address() };
      throw new DaosError("UNAVAILABLE", "Cannot serve the engine: the control plane is elsewhere. Say hello again.");
    }
    return this.#admit(control.admission, opcode, body, isSigned, connection);
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
