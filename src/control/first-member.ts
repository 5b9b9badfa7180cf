/**
 * The record of the engine that begins a system whose control plane any engine may run: it joins as all others do, and
 * whoever leads must know it by then.
 */
import { memberKey } from "../format/meta-key.ts";
import { FIRST_RANK } from "./members.ts";
import { type EngineShape, newMember } from "./new-member.ts";
import { absent, type Change, type MetaRecords, putRecord } from "./meta-records.ts";

/** Writes it down unless there is one. */
export function writeFirstMember(records: MetaRecords, engine: EngineShape): Promise<void> {
  const key = memberKey(FIRST_RANK);
  return records.change("write down the first engine", async (): Promise<Change<void>> => {
    if ((await records.get("member", key)) !== undefined) return { compares: [], operations: [], result: undefined };
    const operations = [putRecord("member", key, newMember(FIRST_RANK, engine))];
    return { compares: [absent(key)], operations, result: undefined };
  });
}
