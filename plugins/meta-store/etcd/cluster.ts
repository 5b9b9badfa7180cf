/**
 * The etcd cluster as one place to ask: tries one member after another until one answers or the time is up, and signs in
 * where a user is configured.
 *
 * A request may be sent several times. The caller of `ask` learns whether a copy may have been taken without an answer
 * (`uncertain`); requests that do the same however often they are taken can be given to `call`.
 */
import { DaosError } from "../../../src/base/errors.ts";
import type { Clock, Timers, World } from "../../../src/contracts/world.ts";
import type { Failure } from "./failure.ts";
import { type Attempt, Members, readSecret, type WatchHandlers } from "./members.ts";
import { AUTHENTICATE, type Method, type WatchRequest } from "./protocol.ts";
import type { EtcdSettings } from "./settings.ts";

/** A member that has not answered by then is left for the next one, milliseconds. */
const ATTEMPT_TIMEOUT_MS = 3_000;
/** Pauses between rounds over all members, milliseconds: doubled from the first to the last. */
const FIRST_PAUSE_MS = 50;
const LAST_PAUSE_MS = 500;

export type Answer<Response> = { readonly uncertain: boolean } & (
  | { readonly response: Response; readonly error?: never }
  /** UNAVAILABLE: the time is up. Others: a member refused. */
  | { readonly error: DaosError }
);

export class Cluster {
  /** For messages. */
  readonly name: string;
  readonly #members: Members;
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #timeoutMs: number;
  readonly #signIn: { readonly name: string; readonly password: string } | undefined;
  #token: string | undefined;
  #current = 0;
  #closed = false;

  /** Connects to nobody yet. Throws CONFIGURATION. */
  constructor({ clock, timers, disk }: World, settings: EtcdSettings) {
    this.name = `etcd ${settings.endpoints.join(",")}`;
    this.#clock = clock;
    this.#timers = timers;
    this.#timeoutMs = settings.request_timeout_ms;
    const { user, password_file: path } = settings;
    if (user !== undefined && path !== undefined) {
      const password = Buffer.from(readSecret(disk, path))
        .toString("utf8")
        .replace(/\r?\n$/, "");
      this.#signIn = { name: user, password };
    }
    this.#members = new Members(settings, clock, disk);
  }

  /** When a request that begins now has used its time, on the monotonic clock, ns. */
  deadlineNs(timeoutMs = this.#timeoutMs): number {
    return this.#clock.monotonicNs() + timeoutMs * 1e6;
  }

  async call<Request, Response>(
    action: string,
    method: Method<Request, Response>,
    request: Request,
    deadlineNs = this.deadlineNs(),
  ): Promise<Response> {
    const answer = await this.ask(action, method, request, deadlineNs);
    if (answer.error !== undefined) throw answer.error;
    return answer.response;
  }

  /** `action` reads as in `Cannot <action> "etcd ...": ...`. */
  async ask<Request, Response>(
    action: string,
    method: Method<Request, Response>,
    request: Request,
    deadlineNs: number,
  ): Promise<Answer<Response>> {
    let uncertain = false;
    let pauseMs = FIRST_PAUSE_MS;
    let tlsRefusals = 0;
    let last: Failure | undefined;
    for (let attempts = 1; ; attempts += 1) {
      const leftMs = (deadlineNs - this.#clock.monotonicNs()) / 1e6;
      if (this.#closed) return { error: this.#closedError(action), uncertain };
      if (leftMs <= 0) return { error: this.#timeUp(action, last), uncertain };
      const member = this.#current;
      const attempt = await this.#attempt(member, method, request, Math.min(leftMs, ATTEMPT_TIMEOUT_MS));
      if ("response" in attempt) return { response: attempt.response, uncertain };
      last = attempt.failure;
      if (last.kind === "final") return { error: this.error(last.code, action, last.state, last.advice), uncertain };
      if (last.kind === "unknown") uncertain = true;
      tlsRefusals = last.kind === "unsent" && last.isTls ? tlsRefusals + 1 : 0;
      if (tlsRefusals >= this.#members.count) return { error: this.#tlsRefused(action, last.state), uncertain };
      if (last.kind === "token") this.#token = undefined;
      else this.leave(member);
      if (attempts % this.#members.count === 0) {
        await this.#pause(Math.min(pauseMs, Math.max(0, leftMs)));
        pauseMs = Math.min(2 * pauseMs, LAST_PAUSE_MS);
      }
    }
  }

  /** The member that is asked first. */
  get current(): number {
    return this.#current;
  }

  /** The member is in trouble: others are asked first from now on. */
  leave(member: number): void {
    if (this.#current === member) this.#current = (member + 1) % this.#members.count;
  }

  /** See Members.watch. The token may be refused: then `ended` hears of it, and the next `call` signs in anew. */
  watch(member: number, request: WatchRequest, handlers: WatchHandlers): () => void {
    return this.#members.watch(member, request, this.#token, {
      received: (response) => handlers.received(response),
      ended: (failure) => {
        if (failure.kind === "token") this.#token = undefined;
        handlers.ended(failure);
      },
    });
  }

  close(): void {
    this.#closed = true;
    this.#members.close();
  }

  error(code: DaosError["code"], action: string, state: string, advice: string, cause?: unknown): DaosError {
    const options = cause === undefined ? undefined : { cause };
    return new DaosError(code, `Cannot ${action} "${this.name}": ${state}. ${advice}.`, options);
  }

  async #attempt<Request, Response>(
    member: number,
    method: Method<Request, Response>,
    request: Request,
    timeoutMs: number,
  ): Promise<Attempt<Response>> {
    if (this.#signIn !== undefined && this.#token === undefined) {
      const signedIn = await this.#members.attempt(member, AUTHENTICATE, this.#signIn, { timeoutMs, token: undefined });
      if ("response" in signedIn) {
        this.#token = signedIn.response.token;
      } else {
        const { failure } = signedIn;
        // Nothing of the request itself was sent. An etcd that does not ask who we are needs no token.
        const isOpen = failure.state.includes("authentication is not enabled");
        if (!isOpen) return { failure: failure.kind === "unknown" ? { ...failure, kind: "busy" } : failure };
      }
    }
    return this.#members.attempt(member, method, request, { timeoutMs, token: this.#token });
  }

  #pause(durationMs: number): Promise<void> {
    return new Promise((resolve) => void this.#timers.after(durationMs, resolve));
  }

  #tlsRefused(action: string, state: string): DaosError {
    return this.error(
      "PERMISSION",
      action,
      `TLS failed (${state})`,
      "Check ca_file, cert_file, key_file and server_name",
    );
  }

  #closedError(action: string): DaosError {
    return this.error("UNAVAILABLE", action, "the store is closed", "Open it again");
  }

  #timeUp(action: string, last: Failure | undefined): DaosError {
    const state = `no member served it within ${this.#timeoutMs} ms (${last?.state ?? "others were before it"})`;
    return this.error("UNAVAILABLE", action, state, "See that most of its members run and can be reached");
  }
}
