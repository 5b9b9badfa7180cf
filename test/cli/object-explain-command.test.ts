/** `daos object explain` against a fake system of four engines with two targets each. */
import { expect, test } from "bun:test";
import { objectClassByName } from "../../src/base/object-class.ts";
import { formatObjectId, objectId } from "../../src/base/object-id.ts";
import { poolMap, withStates } from "../placement/pool-maps.ts";
import { type Harness, prepared } from "./harness.ts";

const THREE_COPIES = formatObjectId(objectId("ARRAY_BYTE", objectClassByName("RP_3G1"), 0, 5n));

function bulk(harness: Harness) {
  return harness.system.pools.get("tank")!.containers.get("bulk")!;
}

test("explain of an object: class, failures, space, and a row a shard", async () => {
  const harness = await prepared();
  const { stdout, status } = await harness.run(`object explain tank bulk ${THREE_COPIES}`);
  expect(status).toBe(0);
  expect(stdout).toStartWith(
    `Object    ${THREE_COPIES}\nClass     RP_3G1\nGroups    1, each of 3 replicas\nSurvives  2 ranks, 2 targets\n` +
      "Usable    33.3 % of the space it takes\n\nGroup  Shard  Role     Target  Rank  Domain  State\n    0      0  replica",
  );
  expect(stdout.trimEnd().split("\n")).toHaveLength(10);
});

test("explain in JSON: nothing is left out", async () => {
  const harness = await prepared();
  const { value } = await harness.json("object explain tank bulk --class EC_2P1GX --size 1GiB");
  expect(value).toMatchObject({
    objectId: null,
    class: "EC_2P1GX",
    dataShards: 2,
    parityShards: 1,
    usableFraction: 2 / 3,
    tolerates: [
      { level: "rank", failures: 1 },
      { level: "target", failures: 1 },
    ],
    sizeBytes: 1_073_741_824,
    storedBytes: 1_610_612_736,
    reasons: [],
  });
  expect(value.groups).toHaveLength(16);
  for (const group of value.groups) expect(new Set(group.map(({ rank }: { rank: number }) => rank)).size).toBe(3);
});

test("explain without id and class chooses a class and says why", async () => {
  const harness = await prepared();
  const { value } = await harness.json("object explain tank bulk");
  expect(value).toMatchObject({
    class: "SX",
    reasons: [
      "rd_fac 0: no failure has to be survived, so one copy",
      "an array may grow large, so it spreads over all targets",
    ],
  });
  bulk(harness).properties = { ...bulk(harness).properties, rd_fac: 1 };
  expect((await harness.json("object explain tank bulk --size 1GiB")).value.class).toBe("EC_2P1GX");
  expect((await harness.run("object explain tank bulk --size 64KiB")).stdout).toContain(
    "Because   rd_fac 1: 1 of 4 fault domains may fail\n          it does not fill one stripe of an erasure code\n",
  );
});

test("explain shows spares and where shards move", async () => {
  const harness = await prepared();
  const homes: number[] = (await harness.json(`object explain tank bulk ${THREE_COPIES}`)).value.groups[0].map(
    ({ target }: { target: number }) => target,
  );
  bulk(harness).map = withStates(withStates(bulk(harness).map, [homes[0]!], "DOWN", 2), [homes[1]!], "DRAIN", 3);
  const { value } = await harness.json(`object explain tank bulk ${THREE_COPIES}`);
  expect(value.groups[0][0]).toMatchObject({ state: "rebuilding", spareOf: homes[0] });
  expect(value.groups[0][1]).toMatchObject({ state: "serving", target: homes[1], targetState: "DRAIN", spareOf: null });
  expect(value.groups[0][1].movesTo).not.toBeNull();
  expect(value.tolerates).toContainEqual({ level: "target", failures: 1 });
  const { stdout } = await harness.run(`object explain tank bulk ${THREE_COPIES}`);
  expect(stdout).toContain(`rebuilding (for target ${homes[0]})`);
  expect(stdout).toContain("serving (draining)");
  expect(stdout).toContain("Moves to");
});

test("explain names the levels of fault domains, and cuts long tables", async () => {
  const harness = await prepared();
  bulk(harness).map = poolMap([2, 2], 4);
  const { stdout } = await harness.run("object explain tank bulk --class RP_3GX");
  expect(stdout).toContain("Survives  1 of domain 1, 2 of domain 2, 2 ranks, 2 targets\n");
  expect(stdout).toEndWith("... and 16 more groups; --json has them all\n");
});

test("explain refuses what cannot be", async () => {
  const harness = await prepared();
  expect(await harness.run("object explain tank bulk --class RP_5G1")).toMatchObject({
    status: 2,
    stderr:
      'daos: Cannot use object class "RP_5G1": RP_5 needs 5 fault domains, the pool has 4 (its engines). ' +
      "Add engines, or use RP_4.\n",
  });
  const both = await harness.run(`object explain tank bulk ${THREE_COPIES} --class S1`);
  expect(both.status).toBe(2);
  expect(both.stderr).toContain("OID and --class exclude each other");
  expect((await harness.run("object explain tank bulk --class EC_4P5G1")).status).toBe(2);
  expect((await harness.run("object explain tank bulk --size 0")).status).toBe(2);
  expect((await harness.run("object explain tank none --class S1")).status).toBe(1);
});
