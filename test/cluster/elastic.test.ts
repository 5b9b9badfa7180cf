/**
 * Pools that engines are added to and drained from while they are written: nothing is lost, and all is where it belongs.
 */
import { expect, test } from "bun:test";
import { connect } from "../../src/library.ts";
import { Ledger, untilRebuild } from "./ledger.ts";
import { DaosProcess, startArguments, SystemProcess, temporaryFolder } from "./system-process.ts";

/** States of a pool's targets by rank. */
type States = Readonly<Record<number, string>>;

async function elastic(oclass: string, engines: number): Promise<void> {
  const folder = temporaryFolder();
  const first = await SystemProcess.start(engines);
  const joined: DaosProcess[] = [];
  const system = await connect({ system: first.address, timeoutMs: 15_000, retryWindowMs: 30_000 });
  try {
    await system.createPool({ label: "tank", sizeBytes: 2 ** 28 });
    const pool = system.pool("tank");
    await pool.createContainer({ label: "box", type: "kv", properties: { oclass } });
    const ledger = new Ledger(await pool.openContainer("box", { readOnly: false }));
    await ledger.change(0);
    await ledger.snapshot("first");
    const states = async (): Promise<States> => {
      const { map } = await pool.queryTargets();
      return Object.fromEntries(map.targets.map(({ rank, state }) => [rank, state]));
    };

    for (const name of ["a", "b"]) {
      const process = new DaosProcess(startArguments(`${folder}/${name}`, "--join", first.address));
      joined.push(process);
      await process.printed(/ready on/);
    }
    const added = [engines, engines + 1];
    await pool.extend(added);
    await ledger.change(1);
    await ledger.snapshot("growing");
    await untilRebuild(system, "idle");
    expect(Object.values(await states())).toEqual(Array.from({ length: engines + 2 }, () => "UPIN"));
    await ledger.expectAll();

    await pool.drain({ ranks: [1, 2] });
    await ledger.change(2);
    await ledger.snapshot("shrinking");
    await untilRebuild(system, "done");
    expect(await states()).toMatchObject({ 1: "DOWNOUT", 2: "DOWNOUT", [engines]: "UPIN" });
    await ledger.change(3);
    await ledger.expectAll();
    // Nothing is left on those that were drained.
    first.killEngine(1);
    first.killEngine(2);
    await ledger.expectAll();
  } finally {
    await system.close();
    for (const process of joined) if (process.isRunning) await process.signal("SIGKILL");
    await first.remove();
  }
}

test(
  "copies move to engines that are added, and away from those that are drained",
  () => elastic("RP_2GX", 4),
  240_000,
);

test("erasure code moves to engines that are added, and away from those that are drained", async () => {
  await elastic("EC_2P1GX", 4);
}, 240_000);
