/**
 * One client process with 256 operations in flight on one connection, puts durable, against Redis without persistence
 * driven by 50 connections with a pipeline of 16.
 */
import type { Benchmark, Goal } from "./benchmark.ts";
import { EngineContender } from "./engine-contender.ts";
import { RedisContender, redisProblem } from "./redis-contender.ts";

const PUT = "put 100 B, deep pipeline";
const GET = "get 100 B, deep pipeline";
const DEEP = ["--size", "100", "--connections", "1", "--concurrency", "256", "--keys", "100000", "--seconds", "3"];

const goal = (workload: string): Goal => ({
  workload,
  figure: "op/s",
  contender: "daos",
  reference: "redis (no persistence)",
  atLeast: 0.5,
});

const benchmark: Benchmark = {
  title: "Puts (durable) and gets of 100 B, 256 in flight from one client, against Redis without persistence",
  unavailable: redisProblem,
  workloads: [PUT, GET],
  contenders: () => [
    new EngineContender({
      [PUT]: ["kv", ...DEEP, "--read-percent", "0"],
      [GET]: ["kv", ...DEEP, "--read-percent", "100"],
    }),
    new RedisContender("no", {
      [PUT]: { test: "set", sizeBytes: 100, clients: 50, pipeline: 16 },
      [GET]: { test: "get", sizeBytes: 100, clients: 50, pipeline: 16 },
    }),
  ],
  goals: [goal(PUT), goal(GET)],
};
export default benchmark;
