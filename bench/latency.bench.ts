/**
 * One client, one operation in flight: a durable 100 B put against what the network and the disk need for it.
 */
import type { Benchmark } from "./benchmark.ts";
import { EngineContender } from "./engine-contender.ts";
import { LimitContender } from "./limit-contender.ts";

const PUT = "put 100 B, one in flight";
const limit = new LimitContender();

const benchmark: Benchmark = {
  title: "Latency of one durable put against the limit of network and disk",
  unavailable: () => undefined,
  workloads: [PUT],
  contenders: () => [
    new EngineContender({
      [PUT]: [
        "kv",
        "--size",
        "100",
        "--connections",
        "1",
        "--concurrency",
        "1",
        "--seconds",
        "3",
        "--read-percent",
        "0",
      ],
    }),
    limit,
  ],
  goals: [{ workload: PUT, figure: "p50 us", contender: "daos", reference: limit.name, atMost: 1.5 }],
};
export default benchmark;
