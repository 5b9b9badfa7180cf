/**
 * The management listener's requests: the control plane's operations, and those about the engine itself (plugins,
 * metrics, stop). Arguments and replies are CBOR maps.
 */
import { DaosError } from "../base/errors.ts";
import type { ControlPlane } from "../control/control-plane.ts";
import { decodeCbor, encodeCbor } from "../format/cbor.ts";
import { type EngineMetricsReply, Opcode, type PluginListReply } from "../format/operations.ts";
import type { RpcHandler, RpcReply, RpcRequest } from "../rpc/request.ts";

export interface ManagementServiceParts {
  readonly control: ControlPlane;
  readonly plugins: () => PluginListReply["plugins"];
  readonly metrics: () => Promise<EngineMetricsReply>;
  /** Begins an orderly stop; called after the answer was given. */
  readonly stop: () => void;
}

export class ManagementService implements RpcHandler {
  readonly #parts: ManagementServiceParts;

  constructor(parts: ManagementServiceParts) {
    this.#parts = parts;
  }

  handle(request: RpcRequest, reply: RpcReply): void {
    const args: unknown = request.args.length === 0 ? {} : decodeCbor(request.args);
    this.#answer(request.opcode, args).then(
      (answer) => {
        reply.send(encodeCbor(answer));
        if (request.opcode === Opcode.serverStop) this.#parts.stop();
      },
      (error: unknown) => {
        if (!(error instanceof DaosError)) throw error;
        reply.fail(error);
      },
    );
  }

  async #answer(opcode: number, args: unknown): Promise<object> {
    switch (opcode) {
      case Opcode.serverStop:
        return {};
      case Opcode.pluginList:
        return { plugins: this.#parts.plugins() } satisfies PluginListReply;
      case Opcode.engineMetrics:
        return this.#parts.metrics();
      default:
        return this.#parts.control.call(opcode, args);
    }
  }
}
