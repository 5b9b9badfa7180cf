/**
 * What happened to the system, kept in the meta store: the last MAX_EVENTS events, numbered without gaps, over restarts and
 * changes of leader. Engines report what happened to them, and this one too (src/engine/event-outbox.ts); an event that is
 * reported again is kept once.
 */
import { EVENTS, isEventId, SEVERITIES, type Severity } from "../base/events.ts";
import { MAX_EVENTS } from "../base/limits.ts";
import type { ReportedEvent, SystemEventsArguments, SystemEventsReply } from "../format/event-operations.ts";
import { EVENT_PREFIX, eventKey } from "../format/meta-key.ts";
import type { EventRecord } from "../format/meta-record.ts";
import { countFitting, isoTime } from "./control-parts.ts";
import type { KeyedLock } from "./keyed-lock.ts";
import { absent, type Change, type MetaRecords, putRecord } from "./meta-records.ts";

/** Events that one commit takes at most. */
const COMMIT_EVENTS = 64;
const DEFAULT_LIMIT = 256;

/** The engine that reports, since when. */
interface Reporter {
  readonly rank: number;
  readonly incarnation: number;
}

export class EventLog {
  readonly #records: MetaRecords;
  readonly #locks: KeyedLock;
  /** As they are in the store, ascending. */
  #kept: EventRecord[] = [];
  /** Of each rank, what it reported last. */
  readonly #reported = new Map<number, EventRecord["by"]>();

  constructor(records: MetaRecords, locks: KeyedLock) {
    this.#records = records;
    this.#locks = locks;
  }

  /** Durable when resolved. What was kept before is left out. Rejects as the meta store does. */
  append({ rank, incarnation }: Reporter, events: readonly ReportedEvent[]): Promise<void> {
    return this.#locks.run("events", async () => {
      for (let from = 0; from < events.length; from += COMMIT_EVENTS) {
        const batch = events.slice(from, from + COMMIT_EVENTS);
        const added = await this.#records.change("note what happened", () => this.#add({ rank, incarnation }, batch));
        for (const event of added) this.#keep(event);
      }
    });
  }

  /** Without `after`: the last ones. */
  async query({ after, sinceMs = 0, severity, limit }: SystemEventsArguments): Promise<SystemEventsReply> {
    await this.#locks.run("events", () => this.#catchUp());
    const most = limit ?? DEFAULT_LIMIT;
    const wanted = this.#kept.filter(
      (event) => event.number > (after ?? 0) && event.timeMs >= sinceMs && isAtLeast(event.severity, severity),
    );
    const chosen = (after === undefined && sinceMs === 0 ? wanted.slice(-most) : wanted.slice(0, most)).map(described);
    const events = chosen.slice(0, countFitting(chosen));
    const isMore = events.length > 0 && events.at(-1)!.number < wanted.at(-1)!.number;
    const oldest = this.#kept[0]?.number ?? 1;
    return {
      events,
      next: isMore ? events.at(-1)!.number : Math.max(after ?? 0, this.#last),
      isMore,
      missed: after === undefined ? 0 : Math.max(0, oldest - after - 1),
    };
  }

  get #last(): number {
    return this.#kept.at(-1)?.number ?? 0;
  }

  async #add({ rank, incarnation }: Reporter, events: readonly ReportedEvent[]): Promise<Change<EventRecord[]>> {
    await this.#catchUp();
    const known = this.#reported.get(rank);
    const isNew = ({ sequence }: ReportedEvent): boolean =>
      known === undefined ||
      incarnation > known.incarnation ||
      (incarnation === known.incarnation && sequence > known.sequence);
    const added = events.filter(isNew).map(({ sequence, ...event }, index): EventRecord => {
      return { number: this.#last + 1 + index, ...event, by: { rank, incarnation, sequence } };
    });
    const tooMany = Math.max(0, this.#kept.length + added.length - MAX_EVENTS);
    return {
      // Numbers have no gaps: who was faster has written the first of these.
      compares: added.slice(0, 1).map(({ number }) => absent(eventKey(number))),
      operations: [
        ...added.map((event) => putRecord("event", eventKey(event.number), event)),
        ...this.#kept.slice(0, tooMany).map(({ number }) => ({ remove: eventKey(number) })),
      ],
      result: added,
    };
  }

  /** What is in the store and not known here: all at first, and what a commit brought of which no answer came. */
  async #catchUp(): Promise<void> {
    for (;;) {
      const after = this.#last === 0 ? undefined : eventKey(this.#last);
      const stored = await this.#records.page("event", EVENT_PREFIX, MAX_EVENTS, after);
      for (const { record } of stored) this.#keep(record);
      if (stored.length < MAX_EVENTS) return;
    }
  }

  #keep(event: EventRecord): void {
    this.#kept.push(event);
    this.#kept = this.#kept.slice(-MAX_EVENTS);
    this.#reported.set(event.by.rank, event.by);
  }
}

function isAtLeast(severity: Severity, least: Severity = "info"): boolean {
  return SEVERITIES.indexOf(severity) <= SEVERITIES.indexOf(least);
}

function described({ by: _by, timeMs, ...event }: EventRecord): SystemEventsReply["events"][number] {
  const advice = isEventId(event.id) ? EVENTS[event.id].advice : "";
  return { ...event, time: isoTime(timeMs), advice };
}
