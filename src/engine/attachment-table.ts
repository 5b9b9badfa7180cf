/**
 * Which containers each connection has attached. `attach` checks the capability that the management side signed and
 * turns it into a handle; nothing else grants access to data.
 */
import { DaosError } from "../base/errors.ts";
import { decodeCbor, encodeCbor } from "../format/cbor.ts";
import { checkArguments } from "../format/operation-arguments.ts";
import { type AttachReply, Opcode } from "../format/operations.ts";
import type { RpcPeer, RpcRequest } from "../rpc/request.ts";
import { Attachments, type Attachment } from "./attachments.ts";

export class AttachmentTable {
  /** Those of the connections that hold handles, for a container's end. */
  readonly #holders = new Set<Attachments>();
  readonly #grant: (capability: Uint8Array) => Attachment;
  readonly #nowMs: () => number;

  /** `grant` turns a capability into what it allows; it throws PERMISSION or STALE. */
  constructor(grant: (capability: Uint8Array) => Attachment, nowMs: () => number) {
    this.#grant = grant;
    this.#nowMs = nowMs;
  }

  /** Throws STALE for handles not attached on this connection, PERMISSION for an expired capability. */
  get(request: RpcRequest, handle: number): Attachment {
    const attachments = request.connection.session;
    if (!(attachments instanceof Attachments)) {
      throw new DaosError("STALE", `Cannot use container handle ${handle}: nothing is attached here. Attach first.`);
    }
    const attachment = attachments.get(handle);
    if (attachment.expiresAtMs < this.#nowMs()) {
      attachments.remove(handle);
      throw new DaosError("STALE", "Cannot use the container: its capability has expired. Open the container again.");
    }
    return attachment;
  }

  /** Serves `attach` and `detach`; returns the reply's arguments. */
  handle(request: RpcRequest): Uint8Array {
    if (request.opcode === Opcode.attach) return this.#attach(request);
    const { handle } = checkArguments(Opcode.detach, decodeCbor(request.args));
    const { session } = request.connection;
    if (session instanceof Attachments) session.remove(handle);
    return encodeCbor({});
  }

  /** Handles that all connections hold on a container. */
  count(container: number): number {
    let count = 0;
    for (const attachments of this.#holders) count += attachments.count(container);
    return count;
  }

  /** Ends every connection's access to a container. */
  removeContainer(container: number): void {
    for (const attachments of this.#holders) attachments.removeContainer(container);
  }

  /** The connection is gone, and its handles with it. */
  connectionClosed(connection: RpcPeer): void {
    this.#holders.delete(connection.session as Attachments);
  }

  #attach(request: RpcRequest): Uint8Array {
    const { capability } = checkArguments(Opcode.attach, decodeCbor(request.args));
    const attachment = this.#grant(capability);
    const { session } = request.connection;
    let attachments = session instanceof Attachments ? session : undefined;
    if (attachments === undefined) {
      if (session !== undefined) {
        throw new DaosError("PROTOCOL", "Cannot attach: the connection is another target's. Open one of your own.");
      }
      attachments = new Attachments();
      request.connection.session = attachments;
      this.#holders.add(attachments);
    }
    return encodeCbor({ handle: attachments.add(attachment) } satisfies AttachReply);
  }
}
