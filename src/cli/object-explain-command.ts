/**
 * `daos object explain`: where the shards of an object are or would be, what may fail, and what it costs in space. Asks
 * the system only for the pool map and the container's properties; layouts are computed here, as every client does.
 */
import type { ObjectClass } from "../base/object-class.ts";
import { type ObjectId, objectId } from "../base/object-id.ts";
import { formatSize } from "../base/size.ts";
import { automaticClass } from "../placement/automatic-class.ts";
import {
  domainCount,
  type ExplainedShard,
  explainLayout,
  type LayoutExplanation,
  type ToleratedFailures,
} from "../placement/explanation.ts";
import { objectClassArgument, sizeArgument, usageError } from "./arguments.ts";
import { command } from "./command.ts";
import { CONTAINER_ARGUMENT, POOL_ARGUMENT } from "./container-arguments.ts";
import { classedIdArgument } from "./object-identity.ts";
import type { Session } from "./session.ts";
import { formatRecord, formatTable } from "./table.ts";

const LINE = "daos object explain";
/** User bits of the object that stands for any of its class. */
const SAMPLE_USER_BITS = 1n;
/** Groups that the text shows; --json has them all. */
const SHOWN_GROUPS = 16;

export const explainObject = command({
  summary: "Show where an object is, what it survives, and what it costs in space",
  examples: [
    "daos object explain tank bulk d03000100000000.1",
    "daos object explain tank bulk --class EC_2P1G1 --size 1GiB",
    "daos object explain tank bulk --size 64KiB",
  ],
  arguments: {
    pool: POOL_ARGUMENT,
    container: CONTAINER_ARGUMENT,
    oid: { type: "positional", required: false, description: "The object's id, hi.lo; without it, any object" },
    class: { type: "string", valueHint: "CLASS", description: "Class of the object, such as RP_3G1, EC_4P2GX" },
    size: {
      type: "string",
      valueHint: "SIZE",
      description: "Size of the object; without --class it also helps to choose the class",
    },
  },
  async run(values, session) {
    if (values.oid !== undefined && values.class !== undefined) {
      throw usageError(LINE, "an object's id says its class, so OID and --class exclude each other");
    }
    const given = values.oid === undefined ? undefined : classedIdArgument(values.oid);
    const named = values.class === undefined ? undefined : objectClassArgument(values.class);
    const sizeBytes = values.size === undefined ? undefined : sizeArgument("--size", values.size);
    const container = await session.openContainer(values.pool, values.container, { readOnly: true });
    const { layouts } = container.placement;
    let oid = given;
    let reasons: readonly string[] = [];
    if (oid === undefined) {
      const chosen =
        named === undefined
          ? await chosenClass(session, values.pool, values.container, sizeBytes, domainCount(layouts.tree))
          : { objectClass: named, reasons };
      oid = sampleObject(chosen.objectClass);
      reasons = chosen.reasons;
    }
    const explanation = explainLayout(layouts, oid);
    const storedBytes = sizeBytes === undefined ? null : Math.ceil(sizeBytes / explanation.usableFraction);
    const { objectId: id, ...rest } = explanation;
    const value = {
      objectId: given === undefined ? null : id,
      ...rest,
      sizeBytes: sizeBytes ?? null,
      storedBytes,
      reasons,
    };
    await session.output.result(value, textOf(explanation, value));
  },
});

function sampleObject(objectClass: ObjectClass): ObjectId {
  return objectId("ARRAY_BYTE", objectClass, 0, SAMPLE_USER_BITS);
}

/** What an object of the container would be given: a kv container is a flat map, others are asked about arrays. */
async function chosenClass(
  session: Session,
  poolName: string,
  containerName: string,
  sizeBytes: number | undefined,
  domains: number,
): Promise<{ objectClass: ObjectClass; reasons: readonly string[] }> {
  const pool = await session.pool(poolName);
  const { type, properties } = await pool.queryContainer(containerName, session.cancelable);
  const dataModel = type === "kv" ? "kv" : "array";
  return automaticClass({ rdFac: Number(properties["rd_fac"] ?? 0), dataModel, sizeBytes, domains });
}

interface ExplainedCost {
  readonly objectId: string | null;
  readonly sizeBytes: number | null;
  readonly storedBytes: number | null;
  readonly reasons: readonly string[];
}

function textOf(
  explanation: LayoutExplanation,
  { objectId: id, sizeBytes, storedBytes, reasons }: ExplainedCost,
): string {
  const { groups, tolerates, usableFraction } = explanation;
  const moves = groups.some((group) => group.some(({ movesTo }) => movesTo !== null));
  const facts: [string, string][] = [];
  if (id !== null) facts.push(["Object", id]);
  facts.push(["Class", explanation.class]);
  for (const [index, reason] of reasons.entries()) facts.push([index === 0 ? "Because" : "", reason]);
  facts.push(["Groups", `${groups.length}, each of ${shardsText(explanation)}`]);
  facts.push(["Survives", tolerates.map(failuresText).join(", ")]);
  facts.push(["Usable", `${(usableFraction * 100).toFixed(1)} % of the space it takes`]);
  if (sizeBytes !== null) facts.push(["Size", `${formatSize(sizeBytes)}, ${formatSize(storedBytes!)} stored`]);
  const rows = groups
    .slice(0, SHOWN_GROUPS)
    .flatMap((group, index) => group.map((shard) => rowOf(index, shard, moves)));
  const table = formatTable(
    [
      { title: "Group", align: "right" },
      { title: "Shard", align: "right" },
      { title: "Role" },
      { title: "Target", align: "right" },
      { title: "Rank", align: "right" },
      { title: "Domain" },
      { title: "State" },
      ...(moves ? [{ title: "Moves to", align: "right" as const }] : []),
    ],
    rows,
  );
  const hidden = groups.length - SHOWN_GROUPS;
  return `${formatRecord(facts)}\n${table}${hidden > 0 ? `... and ${hidden} more groups; --json has them all\n` : ""}`;
}

/** `2 ranks`; named domains by their level, 1 being the topmost: `1 of domain 1`. */
function failuresText({ level, failures }: ToleratedFailures): string {
  if (level.startsWith("domain")) return `${failures} of ${level}`;
  return `${failures} ${level}${failures === 1 ? "" : "s"}`;
}

function shardsText({ dataShards, parityShards, groups }: LayoutExplanation): string {
  if (groups[0]![0]!.role === "replica") return `${dataShards + parityShards} replicas`;
  if (parityShards === 0) return "1 shard";
  return `${dataShards} data and ${parityShards} parity shards`;
}

function rowOf(group: number, shard: ExplainedShard, moves: boolean): string[] {
  const { target, rank, domain, targetState, spareOf, movesTo, state } = shard;
  const spare = spareOf === null ? "" : target === null ? ` (target ${spareOf} is gone)` : ` (for target ${spareOf})`;
  const drain = targetState === "DRAIN" ? " (draining)" : "";
  return [
    String(group),
    String(shard.shard),
    shard.role,
    String(target ?? "-"),
    String(rank ?? "-"),
    domain ?? "-",
    `${state}${spare}${drain}`,
    ...(moves ? [String(movesTo ?? "-")] : []),
  ];
}
