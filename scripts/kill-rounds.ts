/**
 * `npm run test:kill [-- --rounds N] [--seed S]`: many rounds of kill -9 under load (200 unless given), each followed by a
 * check of everything that was ever acknowledged.
 */
import { parseArgs } from "node:util";
import { runKillRounds } from "../test/crash/kill-rounds.ts";

const { values } = parseArgs({ options: { rounds: { type: "string" }, seed: { type: "string" } } });
const seed = Number(values.seed ?? Date.now() >>> 0);
const rounds = Number(values.rounds ?? 200);
console.log(`seed ${seed}, ${rounds} rounds`);
const engine = { scmSize: "256MiB", nvmeSize: "4GiB" };
const result = await runKillRounds({ rounds, seed, engine, report: (line) => console.log(line) });
console.log(`${rounds} rounds passed: ${JSON.stringify(result)}`);
