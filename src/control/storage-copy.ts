/** A copy of a storage folder must not serve beside the original. */
import { DaosError } from "../base/errors.ts";
import type { EngineJoinArguments } from "../format/engine-operations.ts";
import type { MemberRecord } from "../format/meta-record.ts";
import type { EngineLink } from "./members.ts";

/** The engine of that rank as it is known; `incarnation`: of its last start, if that was heard of. */
export interface KnownEngine {
  readonly link: EngineLink | undefined;
  readonly record: MemberRecord;
  readonly incarnation: number | undefined;
}

/** Rejects with ALREADY_EXISTS when the engine that joins is running already, elsewhere. */
export async function refuseCopy(
  { rank, engine, incarnation, address }: EngineJoinArguments,
  { link, record, incarnation: present }: KnownEngine,
): Promise<void> {
  if (link === undefined || present === undefined || present === incarnation) return;
  const isSamePlace = record.host === address.host && record.port === address.port;
  if (isSamePlace || (await incarnationAt(link)) !== present) return;
  const state = `engine ${engine} is running already, as rank ${rank} at ${record.host}:${record.port}`;
  throw new DaosError(
    "ALREADY_EXISTS",
    `Cannot join: ${state}. This storage folder is a copy: give each engine its own.`,
  );
}

async function incarnationAt(link: EngineLink): Promise<number | undefined> {
  try {
    return (await link.call("ping", {})).incarnation;
  } catch (error) {
    if (!(error instanceof DaosError)) throw error;
    return undefined;
  }
}
