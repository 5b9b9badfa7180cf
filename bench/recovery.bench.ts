/** Recovery of daos against that of Ceph, on one disk and three engines each, and against a copy of as many bytes. */
import type { Benchmark } from "./benchmark.ts";
import { cephProblem } from "./ceph-commands.ts";
import { CopyContender } from "./copy-contender.ts";
import { CephRecovery } from "./recovery-ceph.ts";
import { DaosRecovery } from "./recovery-daos.ts";
import { BESIDE, IDLE } from "./recovery-workloads.ts";

const benchmark: Benchmark = {
  title: "Recovery of a lost engine, three engines against three OSDs",
  unavailable: cephProblem,
  workloads: [IDLE, BESIDE],
  contenders: () => [new DaosRecovery(), new CephRecovery(), new CopyContender()],
  goals: [
    { workload: IDLE, figure: "recovery MB/s", contender: "daos", reference: "copy of files", atLeast: 0.6 },
    { workload: IDLE, figure: "recovery MB/s", contender: "daos", reference: "rados", atLeast: 1 },
    { workload: BESIDE, figure: "kept", contender: "daos", reference: "rados", atLeast: 1 },
  ],
};
export default benchmark;
