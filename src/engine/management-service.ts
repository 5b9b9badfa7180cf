/**
 * The management listener's requests: the control plane's operations, and those about the engine itself (plugins,
 * metrics, stop). Arguments and replies are CBOR maps.
 */
import { DaosError } from "../base/errors.ts";
import type { ControlPlane } from "../control/control-plane.ts";
import { checkArguments } from "../format/operation-arguments.ts";
import { decodeCbor, encodeCbor } from "../format/cbor.ts";
import { type EngineMetricsReply, Opcode, type PluginListReply } from "../format/operations.ts";
import type { DeviceService } from "./device-service.ts";
import type { RpcHandler, RpcReply, RpcRequest } from "../rpc/request.ts";

export interface ManagementServiceParts {
  readonly control: ControlPlane;
  readonly plugins: () => PluginListReply["plugins"];
  readonly devices: DeviceService;
  readonly metrics: () => Promise<EngineMetricsReply>;
  /** Begins an orderly stop; called after the answer was given. */
  readonly stop: () => void;
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
    const args: unknown = request.args.length === 0 ? {} : decodeCbor(request.args);
    const { opcode } = request;
    this.#running += 1;
    void this.#answer(opcode, args)
      .then(
        (answer) => reply.send(encodeCbor(answer)),
        (error: unknown) => {
          if (!(error instanceof DaosError)) throw error;
          reply.fail(error);
        },
      )
      .finally(() => {
        this.#ended();
        if (opcode === Opcode.serverStop) this.#parts.stop();
      });
  }

  async #answer(opcode: number, args: unknown): Promise<object> {
    switch (opcode) {
      case Opcode.serverStop:
        return {};
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
        return this.#parts.control.call(opcode, args);
    }
  }
}
