/** Records of engines that have a rank and have not been here yet. */
import type { MemberRecord } from "../format/meta-record.ts";

/** What is known of an engine before it is there. */
export type EngineShape = Pick<MemberRecord, "engine" | "domain"> & { readonly targets: number };

/** The record of an engine that has its rank and was not heard of yet. */
export function newMember(rank: number, { engine, domain, targets }: EngineShape): MemberRecord {
  return {
    rank,
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
}
