/**
 * Redundant objects against Ceph's object store, three engines against three OSDs on the same disk: three copies, and two
 * data shards with one of parity.
 */
import type { Benchmark, Goal } from "./benchmark.ts";
import { ClusterContender, type ClusterWorkload } from "./cluster-contender.ts";
import { RadosContender, radosProblem, type RadosWorkload } from "./rados-contender.ts";

const SMALL = ["array", "--size", "4KiB", "--concurrency", "64", "--keys", "65536", "--seconds", "4"];
const LARGE = ["array", "--size", "4MiB", "--concurrency", "16", "--keys", "128", "--seconds", "4"];

interface Pair {
  readonly daos: ClusterWorkload;
  readonly rados: RadosWorkload;
  readonly goals: readonly (Pick<Goal, "figure"> & Partial<Goal>)[];
}

function pair(
  objectClass: string,
  pool: string,
  operation: "write" | "rand",
  size: "small" | "large",
  goals: Pair["goals"],
): Pair {
  const share = ["--read-percent", operation === "write" ? "0" : "100"];
  const isSmall = size === "small";
  return {
    daos: { objectClass, args: [...(isSmall ? SMALL : LARGE), ...share] },
    rados: { pool, operation, sizeBytes: isSmall ? 4096 : 4_194_304, concurrency: isSmall ? 64 : 16 },
    goals,
  };
}

const OPS = "op/s";
const BYTES = "MB/s";
const CPU = "server CPU us/op";
const PAIRS: Readonly<Record<string, Pair>> = {
  "RP_3G1 write 4 KiB, 64 in flight": pair("RP_3G1", "rep3", "write", "small", [
    { figure: OPS, atLeast: 10 },
    { figure: CPU, atMost: 1 / 8 },
  ]),
  "RP_3G1 read 4 KiB, 64 in flight": pair("RP_3G1", "rep3", "rand", "small", [
    { figure: OPS, atLeast: 3 },
    { figure: CPU, atMost: 1 / 3 },
  ]),
  "RP_3G1 write 4 MiB, 16 in flight": pair("RP_3G1", "rep3", "write", "large", [{ figure: BYTES, atLeast: 3 }]),
  "RP_3G1 read 4 MiB, 16 in flight": pair("RP_3G1", "rep3", "rand", "large", [{ figure: BYTES, atLeast: 1.5 }]),
  "EC_2P1G1 write 4 KiB, 64 in flight": pair("EC_2P1G1", "ec21", "write", "small", [{ figure: OPS, atLeast: 10 }]),
  "EC_2P1G1 write 4 MiB, 16 in flight": pair("EC_2P1G1", "ec21", "write", "large", [{ figure: BYTES, atLeast: 3 }]),
  "EC_2P1G1 read 4 MiB, 16 in flight": pair("EC_2P1G1", "ec21", "rand", "large", [{ figure: BYTES, atLeast: 2 }]),
};

function of<Field extends "daos" | "rados">(field: Field): Record<string, Pair[Field]> {
  return Object.fromEntries(Object.entries(PAIRS).map(([workload, both]) => [workload, both[field]]));
}

const benchmark: Benchmark = {
  title: "Redundant objects against rados bench, three engines against three OSDs",
  unavailable: radosProblem,
  workloads: Object.keys(PAIRS),
  // Fresh engines compile their code meanwhile: 3.5 s of CPU in the first 5 s of writes, over three of them.
  isWarm: true,
  contenders: () => [new ClusterContender(of("daos"), { engines: 3 }), new RadosContender(of("rados"), "rados")],
  goals: Object.entries(PAIRS).flatMap(([workload, { goals }]) =>
    goals.map((goal) => ({ ...goal, workload, contender: "daos", reference: "rados" })),
  ),
};
export default benchmark;
