/**
 * What a pool map remembers of targets that were gone and are back: as much as it takes to know who stands in for those that
 * went while they were gone. Without it the stand-ins would change when the first of several targets comes back before the
 * others; a shard of erasure code would then be looked for where another shard of its group is.
 */
import type { MapTarget, Outage } from "../format/pool-map.ts";

type TargetRecord = Pick<MapTarget, "index" | "state" | "since" | "beside">;

/** The targets after a change of their states, with what they have to remember of those that came back in it. */
export function withOutages<Target extends TargetRecord>(
  before: readonly TargetRecord[],
  after: readonly Target[],
): Target[] {
  const back = after.flatMap(({ index, state }): Outage[] => {
    const was = before.find((target) => target.index === index);
    if (was === undefined || state !== "UPIN" || was.state === "UPIN" || was.state === "NEW") return [];
    return [outageOf(was)];
  });
  return after.map((target): Target => {
    const was = before.find(({ index }) => index === target.index);
    const { beside: _, ...rest } = target;
    const isGone = target.state !== "UPIN" && target.state !== "NEW";
    if (!isGone || was?.state === "UPIN") return rest as Target;
    const { beside } = back.reduce(remembering, outageOf(target));
    return (beside === undefined ? rest : { ...rest, beside }) as Target;
  });
}

function outageOf({ index, since, beside }: Outage): Outage {
  return beside === undefined ? { index, since } : { index, since, beside };
}

/** The outage, and those that it remembers, remember one that ended and had begun by then. */
function remembering(outage: Outage, ended: Outage): Outage {
  if (outage.index === ended.index || ended.since > outage.since) return outage;
  const known = (outage.beside ?? []).map((other) => remembering(other, ended));
  return { ...outage, beside: [...known, ended] };
}
