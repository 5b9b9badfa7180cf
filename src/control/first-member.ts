/**
 * The record of the engine that begins a system whose control plane any engine may run: it joins as all others do, and
 * whoever leads must know it by then.
 */
import { memberKey } from "../format/meta-key.ts";
import type { MemberRecord } from "../format/meta-record.ts";
import { FIRST_RANK } from "./members.ts";
import { absent, type Change, type MetaRecords, putRecord } from "./meta-records.ts";

/** Writes it down unless there is one. */
export function writeFirstMember(
  records: MetaRecords,
  { engine, domain, targets }: { readonly engine: string; readonly domain: string; readonly targets: number },
): Promise<void> {
  const key = memberKey(FIRST_RANK);
  return records.change("write down the first engine", async (): Promise<Change<void>> => {
    if ((await records.get("member", key)) !== undefined) return { compares: [], operations: [], result: undefined };
    const record: MemberRecord = {
      rank: FIRST_RANK,
      engine,
      state: "new",
      domain,
      incarnation: 0,
      host: "",
      port: 0,
      targets: Array.from({ length: targets }, () => ({ host: "", port: 0 })),
      scmBytes: 0,
      nvmeBytes: 0,
    };
    return { compares: [absent(key)], operations: [putRecord("member", key, record)], result: undefined };
  });
}
