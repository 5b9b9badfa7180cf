/**
 * Connections to the members of one etcd cluster: one HTTP/2 connection each, made at first use and made again by itself.
 * One call here is one attempt at one member; which one is next, and how often, is cluster.ts's part.
 */
import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  credentials,
  type ClientDuplexStream,
  Metadata,
  status,
  type StatusObject,
} from "@grpc/grpc-js";
import { isIP } from "node:net";
import { checkServerIdentity as checkIdentity, type PeerCertificate } from "node:tls";
import { DaosError } from "../../../src/base/errors.ts";
import { MAX_META_KEY_BYTES, MAX_META_VALUE_BYTES, MIB } from "../../../src/base/limits.ts";
import type { Clock, Disk } from "../../../src/contracts/world.ts";
import { type Failure, failureOf } from "./failure.ts";
import type { Method, WatchRequest, WatchResponse } from "./protocol.ts";
import { WATCH } from "./protocol.ts";
import type { EtcdSettings } from "./settings.ts";

/** Entries of one answer to a range. */
export const PAGE_ENTRIES = 100;
const MAX_PREFIX_AND_FIELDS_BYTES = 1024;
const MAX_ANSWER_BYTES = PAGE_ENTRIES * (MAX_META_KEY_BYTES + MAX_META_VALUE_BYTES + MAX_PREFIX_AND_FIELDS_BYTES) + MIB;
const MAX_SECRET_BYTES = 64 * 1024;

/** Server name told to members that are known by their address only. */
const NAME_FOR_ADDRESSES = "etcd";

const CHANNEL: ChannelOptions = {
  "grpc.max_receive_message_length": MAX_ANSWER_BYTES,
  "grpc.max_send_message_length": -1,
  // A member that is there but silent (stopped, or cut off without a word) is noticed by pings.
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.min_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 500,
  "grpc.enable_retries": 0,
  // The members are asked directly, and as cluster.ts says, whatever the environment or the name server may wish.
  "grpc.enable_http_proxy": 0,
  "grpc.service_config_disable_resolution": 1,
};

export type Attempt<Response> = { readonly response: Response } | { readonly failure: Failure };

export interface AttemptOptions {
  readonly timeoutMs: number;
  /** From `AUTHENTICATE`. */
  readonly token: string | undefined;
}

export interface WatchHandlers {
  received(response: WatchResponse): void;
  /** Called once, when the stream is over; not after `cancel`. */
  ended(failure: Failure): void;
}

interface Cancelable {
  cancel(): void;
}

export class Members {
  readonly count: number;
  readonly #clients: readonly Client[];
  readonly #clock: Clock;
  readonly #running = new Set<Cancelable>();

  /** Reads the files that `settings` names. Throws CONFIGURATION when one cannot be read. */
  constructor(settings: EtcdSettings, clock: Clock, disk: Disk) {
    const { endpoints, tls } = settings;
    this.count = endpoints.length;
    this.#clock = clock;
    const channels = tls === undefined ? () => PLAIN : checkedTls(() => secured(tls, disk));
    this.#clients = endpoints.map((endpoint) => {
      const { security, options } = channels(endpoint);
      return new Client(endpoint, security, { ...CHANNEL, ...options });
    });
  }

  attempt<Request, Response>(
    index: number,
    method: Method<Request, Response>,
    request: Request,
    { timeoutMs, token }: AttemptOptions,
  ): Promise<Attempt<Response>> {
    const { path, serialize, deserialize } = method;
    const client = this.#clients[index]!;
    const metadata = metadataOf(token);
    const options = { deadline: this.#clock.wallMs() + timeoutMs };
    return new Promise((resolve) => {
      const settle = (result: Attempt<Response>): void => {
        this.#running.delete(call);
        resolve(result);
      };
      const fail = (error: Pick<StatusObject, "code" | "details">): void => settle({ failure: failureOf(error) });
      let call: Cancelable;
      if (method.streams) {
        const stream = client.makeBidiStreamRequest(path, serialize, deserialize, metadata, options);
        call = stream;
        stream.on("error", fail);
        stream.on("end", () => fail(ENDED));
        stream.on("data", (response: Response) => settle({ response }));
        stream.write(request);
        stream.end();
      } else {
        call = client.makeUnaryRequest(path, serialize, deserialize, request, metadata, options, (error, response) =>
          error === null ? settle({ response: response! }) : fail(error),
        );
      }
      this.#running.add(call);
    });
  }

  /** Watches through one member until the stream ends; returns what cancels it. */
  watch(index: number, request: WatchRequest, token: string | undefined, handlers: WatchHandlers): () => void {
    const metadata = metadataOf(token);
    // A member without a leader ends the stream instead of being silent.
    metadata.set("hasleader", "true");
    const stream: ClientDuplexStream<WatchRequest, WatchResponse> = this.#clients[index]!.makeBidiStreamRequest(
      WATCH.path,
      WATCH.serialize,
      WATCH.deserialize,
      metadata,
    );
    let isOver = false;
    const over = (error: Pick<StatusObject, "code" | "details">): void => {
      this.#running.delete(stream);
      if (isOver) return;
      isOver = true;
      handlers.ended(failureOf(error));
    };
    stream.on("error", over);
    stream.on("end", () => over(ENDED));
    stream.on("data", (response: WatchResponse) => {
      if (!isOver) handlers.received(response);
    });
    stream.write(request);
    this.#running.add(stream);
    return () => {
      isOver = true;
      stream.cancel();
    };
  }

  /** Ends what runs, as if the connections had been lost. */
  close(): void {
    for (const call of this.#running) call.cancel();
    for (const client of this.#clients) client.close();
  }
}

const ENDED = { code: status.UNAVAILABLE, details: "the member ended the call" };

function metadataOf(token: string | undefined): Metadata {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set("token", token);
  return metadata;
}

/** The bytes of a small file. Throws CONFIGURATION. */
export function readSecret(disk: Disk, path: string): Uint8Array {
  try {
    const file = disk.openFile(path, { readOnly: true });
    try {
      const bytes = new Uint8Array(Math.min(file.sizeBytes(), MAX_SECRET_BYTES));
      return bytes.subarray(0, file.readSync(bytes, 0));
    } finally {
      file.close();
    }
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new DaosError("CONFIGURATION", `Cannot read "${path}" for etcd: ${text} Correct its path or permissions.`, {
      cause: error,
    });
  }
}

interface Security {
  readonly security: ChannelCredentials;
  readonly options: ChannelOptions;
}

const PLAIN: Security = { security: credentials.createInsecure(), options: {} };

/** Security of the connection to each endpoint. Throws what TLS says of the files. */
function secured(tls: NonNullable<EtcdSettings["tls"]>, disk: Disk): (endpoint: string) => Security {
  const read = (path: string | undefined) => (path === undefined ? null : Buffer.from(readSecret(disk, path)));
  const files = [read(tls.ca_file), read(tls.key_file), read(tls.cert_file)] as const;
  const byName = credentials.createSsl(...files);
  return (endpoint) => {
    const host = endpoint.slice(0, endpoint.lastIndexOf(":")).replace(/^\[|\]$/g, "");
    const name = tls.server_name;
    if (name !== undefined) {
      return { security: byName, options: { "grpc.ssl_target_name_override": name, "grpc.default_authority": name } };
    }
    if (isIP(host) === 0) return { security: byName, options: {} };
    // An address is no server name in TLS: another is told, and the certificate is checked for the address.
    const checkServerIdentity = (_name: string, certificate: PeerCertificate) => checkIdentity(host, certificate);
    const security = credentials.createSsl(...files, { checkServerIdentity });
    return { security, options: { "grpc.ssl_target_name_override": NAME_FOR_ADDRESSES } };
  };
}

function checkedTls<Result>(make: () => Result): Result {
  try {
    return make();
  } catch (error) {
    if (error instanceof DaosError) throw error;
    const text = error instanceof Error ? error.message : String(error);
    throw new DaosError(
      "CONFIGURATION",
      `Cannot use the tls files for etcd: ${text}. They must be PEM and belong together.`,
      {
        cause: error,
      },
    );
  }
}
