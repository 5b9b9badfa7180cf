/**
 * The management listener's requests: the control plane's operations, those about the engine itself (plugins, metrics,
 * devices), and those among engines. Arguments and replies are CBOR maps.
 *
 * On an engine that does not run the control plane, what is the control plane's is forwarded to it as it came.
 */
import { DaosError } from "../base/errors.ts";
import { checkArguments } from "../format/operation-arguments.ts";
import { decodeCbor, encodeCbor } from "../format/cbor.ts";
import type { StopOrder } from "../format/engine-operations.ts";
import type { SystemStopArguments } from "../format/system-operations.ts";
import { type EngineMetricsReply, Opcode, type PluginListReply } from "../format/operations.ts";
import type { DeviceService } from "./device-service.ts";
import type { RpcHandler, RpcPeer, RpcReply, RpcRequest } from "../rpc/request.ts";
import type { EngineDesk } from "./engine-desk.ts";

/** Where the control plane's operations are answered. */
export interface ControlAccess {
  /** `args` are decoded, `bytes` as they came. The reply's arguments. */
  answer(opcode: number, args: unknown, bytes: Uint8Array): Promise<Uint8Array>;
  /** Tells the others that are to stop. Whether this engine is, too. */
  stop(request: StopRequest): Promise<boolean>;
}

/** `serverStop` and `systemStop`, to pass on as it came. */
export interface StopRequest extends SystemStopArguments {
  readonly opcode: number;
  readonly bytes: Uint8Array;
}

const NOTHING = new Uint8Array(0);

export interface ManagementServiceParts {
  readonly control: ControlAccess;
  readonly desk: EngineDesk;
  readonly plugins: () => PluginListReply["plugins"];
  readonly devices: DeviceService;
  readonly metrics: () => Promise<EngineMetricsReply>;
  /** Begins to stop; called after the answer was given. */
  readonly stop: (order: StopOrder) => void;
}

export class ManagementService implements RpcHandler {
  readonly #parts: ManagementServiceParts;
  #running = 0;
  #whenIdle: (() => void) | undefined;
  #isStopping = false;

  constructor(parts: ManagementServiceParts) {
    this.#parts = parts;
  }

  /** Refuses new requests from now on; resolves when those that run are answered. */
  drain(): Promise<void> {
    this.#isStopping = true;
    if (this.#running === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenIdle = resolve;
    });
  }

  #ended(): void {
    this.#running -= 1;
    if (this.#running === 0) this.#whenIdle?.();
  }

  handle(request: RpcRequest, reply: RpcReply): void {
    if (this.#isStopping) {
      throw new DaosError(
        "UNAVAILABLE",
        "Cannot serve the request: the engine is shutting down. Retry when it is back.",
      );
    }
    this.#running += 1;
    const desk = this.#parts.desk.serves(request.opcode);
    void (desk ? this.#answerEngine(request, reply) : this.#answerClient(request, reply))
      .catch((error: unknown) => {
        if (!(error instanceof DaosError)) throw error;
        reply.fail(error);
      })
      .finally(() => this.#ended());
  }

  connectionClosed(peer: RpcPeer): void {
    this.#parts.desk.connectionClosed(peer);
  }

  async #answerEngine(request: RpcRequest, reply: RpcReply): Promise<void> {
    reply.send(NOTHING, await this.#parts.desk.run(request));
  }

  async #answerClient(request: RpcRequest, reply: RpcReply): Promise<void> {
    const { opcode } = request;
    const bytes = new Uint8Array(request.args);
    const args: unknown = bytes.length === 0 ? {} : decodeCbor(bytes);
    if (opcode !== Opcode.serverStop && opcode !== Opcode.systemStop) {
      reply.send(await this.#answer(opcode, args, bytes));
      return;
    }
    const stop = { ...stopArguments(opcode, args), opcode, bytes };
    const isOurs = await this.#parts.control.stop(stop);
    reply.send(encodeCbor({}));
    if (isOurs) this.#parts.stop(stop);
  }

  async #answer(opcode: number, args: unknown, bytes: Uint8Array): Promise<Uint8Array> {
    const local = await this.#answerLocally(opcode, args);
    return local === undefined ? this.#parts.control.answer(opcode, args, bytes) : encodeCbor(local);
  }

  /** What this engine tells about itself; undefined for what is the control plane's. */
  async #answerLocally(opcode: number, args: unknown): Promise<object | undefined> {
    switch (opcode) {
      case Opcode.pluginList:
        return { plugins: this.#parts.plugins() } satisfies PluginListReply;
      case Opcode.engineMetrics:
        return this.#parts.metrics();
      case Opcode.deviceQuery:
        return this.#parts.devices.query();
      case Opcode.deviceSetFaulty: {
        const { device, force } = checkArguments(opcode, args);
        return this.#parts.devices.setFaulty(device, force);
      }
      case Opcode.deviceReplace: {
        const { device, successor, force } = checkArguments(opcode, args);
        return this.#parts.devices.replace(device, successor, force);
      }
      case Opcode.deviceIdentify:
        return this.#parts.devices.identify(checkArguments(opcode, args).device);
      default:
        return undefined;
    }
  }
}

/** Older clients know one rank, or all. */
function stopArguments(opcode: number, args: unknown): SystemStopArguments {
  if (opcode === Opcode.systemStop) return checkArguments(Opcode.systemStop, args);
  const { rank } = checkArguments(Opcode.serverStop, args);
  return rank === undefined ? {} : { ranks: [rank] };
}
