/** `daos system leader`, `exclude`, `drain`, `reintegrate` and `self-heal` against a fake system. */
import { expect, test } from "bun:test";
import { Harness, unreachable } from "./harness.ts";

test("system exclude, drain and reintegrate name the ranks, and a pool that refuses makes status 1", async () => {
  const harness = new Harness();
  await harness.run("system exclude --ranks 2,3 --force");
  await harness.run("system drain --ranks 3");
  expect((await harness.run("system reintegrate --ranks 1")).status).toBe(0);
  expect(harness.system.rankChanges).toEqual(["exclude 2,3 force", "drain 3", "reintegrate 1"]);
  harness.system.outcomes = [
    { pool: "a", outcome: "changed", mapVersion: 2 },
    { pool: "b", outcome: "failed", code: "BUSY", message: "Cannot exclude targets: its data \u001b would be gone." },
  ];
  const { status, stdout } = await harness.run("system exclude --ranks 2");
  expect(status).toBe(1);
  expect(stdout).toContain("its data \\x1b would be gone");
  expect((await harness.json("system exclude --ranks 2")).value.pools[1].error.code).toBe("BUSY");
  harness.system.outcomes = [];
  expect(await harness.run("system exclude --ranks 2")).toMatchObject({
    status: 0,
    stdout: "No pool has targets of these ranks.\n",
  });
});

test("system exclude, drain and reintegrate without ranks, or with wrong ones, are wrong calls", async () => {
  const harness = new Harness();
  for (const wrong of ["system exclude", "system drain --ranks x", "system reintegrate --ranks 99999"]) {
    expect((await harness.run(wrong)).status).toBe(2);
  }
  expect(harness.system.rankChanges).toEqual([]);
});

test("system leader where only the first engine may lead", async () => {
  const harness = new Harness();
  harness.system.leaderReply = { rank: 0, address: "127.0.0.1:10001", leadsMs: 5_000 };
  expect((await harness.run("system leader")).stdout).toContain("Term       only this engine may lead\n");
  expect((await harness.json("system leader")).value).toMatchObject({ rank: 0, term: null });
});

test("system self-heal set checks the flags before anything is asked", async () => {
  const harness = new Harness();
  const { status, stderr } = await harness.run("system self-heal set exclude,pool_excldue");
  expect(status).toBe(2);
  expect(stderr).toContain('Did you mean "pool_exclude"?');
  expect(harness.connects).toEqual([]);
  await harness.run("system self-heal set none");
  expect(harness.system.selfHealFlags).toEqual([]);
  expect((await harness.run("system self-heal eval")).stdout).toContain("Excluded ranks: 2\n");
});

test("system stop names ranks and force, and waits until the engines do not answer", async () => {
  const harness = new Harness();
  harness.connectErrors.push(undefined, unreachable());
  expect((await harness.json("system stop --ranks 1 --force")).value).toEqual({ ranks: [1], stopped: true });
  expect(harness.system.engineCalls).toEqual([{ ranks: [1], force: true }]);
  expect(harness.connects.map(({ system }) => system)).toEqual(["127.0.0.1:10001", "127.0.0.1:10101"]);
  harness.stopsAtOnce = true;
  expect((await harness.run("system stop")).stdout).toBe("Stopped rank 0, 1.\n");
  expect(harness.system.engineCalls.at(-1)).toEqual({});
});

test("system start asks again until all are here", async () => {
  const harness = new Harness();
  harness.system.startReplies = [
    { missing: [1, 2], supervisors: 1 },
    { missing: [2], supervisors: 1 },
    { missing: [], supervisors: 0 },
  ];
  const running = harness.run("system start");
  while (harness.system.startReplies.length > 1 || harness.system.engineCalls.length < 3) {
    await new Promise((resolve) => setImmediate(resolve));
    harness.time.advance(1_000);
  }
  expect((await running).stdout).toBe("Started rank 1, 2.\n");
  expect(harness.system.engineCalls).toEqual([{ start: undefined }, { start: undefined }, { start: undefined }]);
});

test("system start says so when nobody can start them, or they do not come in time", async () => {
  const harness = new Harness();
  harness.system.startReplies = [{ missing: [2], supervisors: 0 }];
  const { status, stderr } = await harness.run("system start --ranks 2");
  expect(status).toBe(1);
  expect(stderr).toContain("Cannot start rank 2: no engine that runs has a supervisor. Start them on their hosts");
  harness.system.startReplies = [{ missing: [2], supervisors: 1 }];
  const running = harness.run("system start --wait 3");
  let isOver = false;
  void running.then(() => (isOver = true));
  while (!isOver) {
    await new Promise((resolve) => setImmediate(resolve));
    harness.time.advance(1_000);
  }
  expect((await running).stderr).toContain("Cannot start rank 2: not here after 3 s");
});

test("system backup writes the pieces to a file that is whole or not there", async () => {
  const harness = new Harness();
  expect((await harness.json("system backup b")).value).toEqual({
    file: "b",
    records: 7,
    sizeBytes: 11,
    takenAt: "2026-01-01T00:00:00.000Z",
  });
  expect(Buffer.from(harness.files.contents.get("b")!).toString()).toBe("daos-backup");
  harness.files.fullAfterBytes = 6;
  expect((await harness.run("system backup c")).status).toBe(1);
  expect(harness.files.contents.has("c")).toBe(false);
});

test("system restore hands the file over, and one that is not there is told", async () => {
  const harness = new Harness();
  harness.files.contents.set("b", Buffer.from("daos-backup"));
  expect((await harness.run("system restore b --storage /d")).stdout).toBe(
    "Restored 7 records of system daos_server as of 2026-01-01T00:00:00.000Z to etcd.\n",
  );
  expect(harness.restored).toEqual(["daos-backup"]);
  expect((await harness.run("system restore nothing")).status).toBe(1);
});

test("system erase needs the system's name", async () => {
  const harness = new Harness();
  expect((await harness.run("system erase")).status).toBe(2);
  expect((await harness.run("system erase --confirm other")).status).toBe(2);
  expect((await harness.json("system erase --confirm daos_server --force --storage /d")).value).toEqual({
    storages: ["/d/engine0"],
    records: 0,
  });
});

/** Lets the command go on until it is over; `turn` is called between its looks. */
async function finish<Result>(
  harness: Harness,
  running: Promise<Result>,
  turn: () => void = () => {},
): Promise<Result> {
  let isOver = false;
  void running.then(() => (isOver = true));
  while (!isOver) {
    await new Promise((resolve) => setImmediate(resolve));
    turn();
    harness.time.advance(250);
  }
  return running;
}

/** Three engines, who leads is rank 0; each look of the command finds one that restarts `stopped`, the next `joined`. */
function restartable(): Harness {
  const harness = new Harness();
  const { system } = harness;
  system.leaderReply = { rank: 0, address: "127.0.0.1:10001", leadsMs: 5 };
  const query = system.query.bind(system);
  let pid = 100;
  const away = new Set<number>();
  system.stopEngines = async (args) => {
    system.engineCalls.push(args);
    for (const rank of args.ranks ?? []) away.add(rank);
    if (args.ranks?.includes(0) === true) pid += 1;
  };
  system.query = async () => {
    const reply = await query();
    const engines = [0, 1, 2].map((rank) => {
      return { ...reply.engines![0]!, rank, state: away.delete(rank) ? ("stopped" as const) : ("joined" as const) };
    });
    return { ...reply, pid, engines };
  };
  return harness;
}

test("system restart --rolling: one after the other, who leads last", async () => {
  const harness = restartable();
  const { status, stdout } = await finish(harness, harness.run("system restart --rolling"));
  expect({ status, stdout }).toEqual({
    status: 0,
    stdout: "Restarted rank 1.\nRestarted rank 2.\nRestarted rank 0.\n",
  });
  expect(harness.system.engineCalls).toEqual([1, 2, 0].map((rank) => ({ ranks: [rank], restart: true })));
});

test("system restart --rolling waits until data has its redundancy, and ends when that cannot be", async () => {
  const harness = restartable();
  await harness.run("pool create tank --size 1GiB");
  let looks = 0;
  let state: "busy" | "idle" | "stuck" = "busy";
  const list = harness.system.listPools.bind(harness.system);
  harness.system.listPools = async () =>
    (await list()).map((pool) => ({ ...pool, rebuild: { ...pool.rebuild!, state } }));
  const running = harness.run("system restart --rolling --ranks 1");
  await finish(harness, running, () => {
    looks += 1;
    if (looks < 5) expect(harness.system.engineCalls).toEqual([]);
    else state = "idle";
  });
  expect(harness.system.engineCalls).toEqual([{ ranks: [1], restart: true }]);
  state = "stuck";
  const { status, stderr } = await finish(harness, harness.run("system restart --rolling --ranks 2"));
  expect(status).toBe(1);
  expect(stderr).toContain('pool "tank" cannot be rebuilt: it is stuck');
  expect(harness.system.engineCalls).toHaveLength(1);
});

test("system restart without --rolling restarts all at once, and says when one does not come back", async () => {
  const harness = restartable();
  expect((await finish(harness, harness.json("system restart"))).value).toEqual({ ranks: [1, 2, 0], rolling: false });
  expect(harness.system.engineCalls).toEqual([{ ranks: [1, 2, 0], restart: true }]);
  harness.system.stopEngines = async () => {};
  const { stderr } = await finish(harness, harness.run("system restart --ranks 0 --wait 2"));
  expect(stderr).toContain("rank 0 has not come back after 2 s");
});
