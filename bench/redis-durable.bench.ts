/**
 * 100 B values over 50 connections with one operation in flight each, durable when acknowledged, against Redis with
 * `appendfsync always`.
 */
import type { Benchmark, Goal } from "./benchmark.ts";
import { EngineContender } from "./engine-contender.ts";
import { RedisContender, redisProblem } from "./redis-contender.ts";

const REDIS = "redis (appendfsync always)";
const PUT = "put 100 B, 50 connections x 1";
const GET = "get 100 B, 50 connections x 1";
const FIFTY = ["--size", "100", "--connections", "50", "--concurrency", "1", "--keys", "100000", "--seconds", "3"];

const goal = (workload: string, figure: string, bound: { atLeast?: number; atMost?: number }): Goal => ({
  workload,
  figure,
  contender: "daos",
  reference: REDIS,
  ...bound,
});

const benchmark: Benchmark = {
  title: "Durable puts and gets of 100 B, 50 connections, against Redis",
  unavailable: redisProblem,
  workloads: [PUT, GET],
  contenders: () => [
    new EngineContender({
      [PUT]: ["kv", ...FIFTY, "--read-percent", "0"],
      [GET]: ["kv", ...FIFTY, "--read-percent", "100"],
    }),
    new RedisContender("always", {
      [PUT]: { test: "set", sizeBytes: 100, clients: 50, pipeline: 1 },
      [GET]: { test: "get", sizeBytes: 100, clients: 50, pipeline: 1 },
    }),
  ],
  goals: [
    goal(PUT, "op/s", { atLeast: 1.5 }),
    goal(PUT, "server CPU us/op", { atMost: 1.5 }),
    goal(GET, "op/s", { atLeast: 0.9 }),
    goal(GET, "server CPU us/op", { atMost: 1.5 }),
  ],
};
export default benchmark;
