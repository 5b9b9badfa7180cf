/**
 * `daos system events`: what has happened to the system, and with --follow what happens.
 */
import { SEVERITIES, type Severity } from "../base/events.ts";
import type { EventDescription, SystemEventsArguments } from "../format/event-operations.ts";
import { hasCode } from "../base/errors.ts";
import { argumentError } from "./arguments.ts";
import { command } from "./command.ts";
import type { Session } from "./session.ts";
import { printable } from "./table.ts";

const FOLLOW_MS = 1_000;
const UNIT_MS: Readonly<Record<string, number>> = { s: 1e3, m: 60e3, h: 3600e3, d: 86_400e3 };

export const events = command({
  summary: "Show what has happened to the system, and what to do about it",
  examples: [
    "daos system events",
    "daos system events --severity warn --since 2h",
    "daos system events --since 2026-01-02T03:04:05Z --json",
    "daos system events --follow",
  ],
  arguments: {
    since: {
      type: "string",
      valueHint: "TIME",
      description: "From then on: 2026-01-02T03:04:05Z, or 30s, 10m, 2h, 7d ago",
    },
    severity: { type: "enum", options: [...SEVERITIES], valueHint: "S", description: "At least: error, warn or info" },
    follow: {
      type: "boolean",
      description: "Go on with what happens, until interrupted; with --json an object a line",
    },
  },
  async run({ since, severity, follow }, session) {
    const { output, environment } = session;
    const filter: SystemEventsArguments = {
      ...(since !== undefined && { sinceMs: timeArgument(since, environment.world.clock.wallMs()) }),
      ...(severity !== undefined && { severity: severity as Severity }),
    };
    if (follow !== true) {
      await output.list(pages(session, filter), eventJson, eventText);
      return;
    }
    for await (const event of following(session, filter)) {
      await output.text(`${output.json ? JSON.stringify(eventJson(event)) : eventText(event)}\n`);
    }
  },
});

/** All that there are now. */
async function* pages(session: Session, filter: SystemEventsArguments): AsyncGenerator<EventDescription> {
  const system = await session.system();
  let page = filter;
  for (;;) {
    const { events: found, next, isMore } = await system.events(page, session.cancelable);
    yield* found;
    if (!isMore) return;
    page = { ...filter, after: next };
  }
}

/** Until interrupted; while nobody leads it waits. */
async function* following(session: Session, filter: SystemEventsArguments): AsyncGenerator<EventDescription> {
  const system = await session.system();
  const { messages } = session.output;
  let page = filter;
  let isAway = false;
  while (!session.signal.aborted) {
    try {
      const { events: found, next, isMore, missed } = await system.events(page, session.cancelable);
      if (missed > 0) messages.warn(`${missed} event(s) are not kept any more.`);
      yield* found;
      page = { ...filter, after: next };
      isAway = false;
      if (isMore) continue;
    } catch (error) {
      if (session.signal.aborted) return;
      if (!hasCode(error, "UNAVAILABLE") && !hasCode(error, "TIMEOUT")) throw error;
      if (!isAway) messages.warn(error.message);
      isAway = true;
    }
    await session.pause(FOLLOW_MS);
  }
}

/** Milliseconds since 1970, from a time or from how long ago it is. */
function timeArgument(text: string, nowMs: number): number {
  const ago = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text);
  if (ago !== null) return Math.max(0, Math.floor(nowMs - Number(ago[1]) * UNIT_MS[ago[2]!]!));
  const timeMs = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(timeMs)) return Math.max(0, timeMs);
  throw argumentError("--since", text, "write a time as 2026-01-02T03:04:05Z, or as 30s, 10m, 2h or 7d ago");
}

/** An event in JSON; docs/cli.md promises these names. */
function eventJson({
  number,
  id,
  severity,
  time,
  rank,
  target,
  device,
  pool,
  message,
  advice,
}: EventDescription): object {
  return {
    number,
    time,
    severity,
    id,
    rank: rank ?? null,
    target: target ?? null,
    device: device ?? null,
    pool: pool ?? null,
    message,
    advice,
  };
}

function eventText({ id, severity, time, message, advice }: EventDescription): string {
  const line = `${time}  ${severity.padEnd(5)}  ${printable(id)}: ${printable(message)}`;
  return advice === "" ? line : `${line}\n    -> ${printable(advice)}`;
}
