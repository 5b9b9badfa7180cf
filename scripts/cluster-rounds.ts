/**
 * `npm run test:cluster [-- --rounds N] [--class CLASS] [--engines N] [--seed S] [--max-load-ms MS] [--restart-every N]
 * [--snapshots]`:
 * rounds (50 unless given) of kill -9 of engines of one system under load, as many at once as the class (RP_3GX) tolerates,
 * each followed by a check of everything that was ever acknowledged. The whole system goes down every 4 rounds.
 */
import { parseArgs } from "node:util";
import { objectClassByName } from "../src/base/object-class.ts";
import { runClusterRounds } from "../test/cluster/kill-rounds.ts";

const OPTION = { type: "string" } as const;
const { values } = parseArgs({
  options: {
    rounds: OPTION,
    class: OPTION,
    engines: OPTION,
    seed: OPTION,
    "max-load-ms": OPTION,
    "restart-every": OPTION,
    snapshots: { type: "boolean" },
  },
});

const seed = Number(values.seed ?? Date.now() >>> 0);
const rounds = Number(values.rounds ?? 50);
const engines = Number(values.engines ?? 6);
const objectClass = objectClassByName(values.class ?? "RP_3GX");
console.log(`seed ${seed}, ${rounds} rounds, ${engines} engines, class ${objectClass.name}`);
const result = await runClusterRounds({
  rounds,
  seed,
  engines,
  objectClass,
  snapshots: values.snapshots === true,
  restartEvery: Number(values["restart-every"] ?? 4),
  ...(values["max-load-ms"] !== undefined && { maxLoadMs: Number(values["max-load-ms"]) }),
  report: (line) => console.log(line),
});
console.log(`${rounds} rounds passed: ${JSON.stringify({ seed, engines, class: objectClass.name, ...result })}`);
