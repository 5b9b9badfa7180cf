/**
 * What happens on this engine, and to the system where it runs the control plane, on its way to the system's log of events
 * (src/control/event-log.ts): shown on standard error at once, and kept here until whoever leads has written it down.
 * Bounded: of what is too much only the number is told. What is here when the process dies is lost.
 */
import { type EventId, type EventPlace, isEventId, type Severity, severityOf, type TellEvent } from "../base/events.ts";
import { DaosError } from "../base/errors.ts";
import { MAX_EVENT_MESSAGE, MAX_PENDING_EVENTS } from "../base/limits.ts";
import type { Clock, Timers } from "../contracts/world.ts";
import type { ReportedEvent } from "../format/event-operations.ts";

const RETRY_MS = 1_000;
/** Of a name in an event, characters. */
const MAX_NAME = 255;

/** Resolves when they are written down; rejects with DaosError when it has to be tried again. */
export type DeliverEvents = (events: readonly ReportedEvent[]) => Promise<void>;

export interface EventOutboxParts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly show: (severity: Severity, message: string) => void;
}

export class EventOutbox {
  readonly #parts: EventOutboxParts;
  readonly #pending: ReportedEvent[] = [];
  readonly #counts = new Map<EventId, number>();
  #sequence = 0;
  #lost = 0;
  #deliver: DeliverEvents | undefined;
  #delivering: Promise<void> | undefined;
  #cancelRetry: (() => void) | undefined;
  #isClosed = false;

  constructor(parts: EventOutboxParts) {
    this.#parts = parts;
  }

  readonly tell: TellEvent = (what, message, place = {}) => {
    this.#parts.show(severityOf(what), isEventId(what) ? `${message} [${what}]` : message);
    if (!isEventId(what)) return;
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
    if (this.#pending.length >= MAX_PENDING_EVENTS - 1) this.#lost += 1;
    else this.#push(what, message, place);
    this.#begin();
  };

  /** How many of each id were told of. */
  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts);
  }

  /** From now on there is somebody to tell. */
  start(deliver: DeliverEvents): void {
    this.#deliver = deliver;
    this.#begin();
  }

  /** Tries once more to have all that is here written down, and no longer. */
  async close(): Promise<void> {
    await this.#delivering;
    this.#isClosed = true;
    this.#cancelRetry?.();
    await this.#deliverAll();
  }

  #push(id: EventId, message: string, place: EventPlace): void {
    const { rank, target, device, pool } = place;
    this.#sequence += 1;
    this.#pending.push({
      sequence: this.#sequence,
      id,
      severity: severityOf(id),
      timeMs: this.#parts.clock.wallMs(),
      message: message.slice(0, MAX_EVENT_MESSAGE),
      ...(rank !== undefined && { rank }),
      ...(target !== undefined && { target }),
      ...(device !== undefined && { device: device.slice(0, MAX_NAME) }),
      ...(pool !== undefined && { pool: pool.slice(0, MAX_NAME) }),
    });
  }

  #begin(): void {
    if (this.#isClosed || this.#deliver === undefined) return;
    this.#delivering ??= this.#deliverAll().then((isDone) => {
      this.#delivering = undefined;
      if (this.#pending.length === 0 || this.#isClosed) return;
      this.#cancelRetry?.();
      if (isDone) this.#begin();
      else this.#cancelRetry = this.#parts.timers.after(RETRY_MS, () => this.#begin());
    });
  }

  /** False when it has to be tried again. */
  async #deliverAll(): Promise<boolean> {
    const deliver = this.#deliver;
    if (deliver === undefined) return false;
    try {
      while (this.#pending.length > 0) {
        const sent = [...this.#pending];
        await deliver(sent);
        this.#pending.splice(0, sent.length);
        this.#tellLost();
      }
      return true;
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      return false;
    }
  }

  #tellLost(): void {
    if (this.#lost === 0) return;
    this.#push("events_lost", `${this.#lost} event(s) were told of nobody while the control plane was away`, {});
    this.#lost = 0;
  }
}
