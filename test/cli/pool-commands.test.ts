/** `daos pool ...` against a fake system: text, JSON, exit status, what reaches the client library. */
import { expect, test } from "bun:test";
import { GIB, MIB } from "../../src/base/limits.ts";
import { Harness, prepared } from "./harness.ts";

const TANK = {
  id: "11111111-2222-4333-8444-555555555555",
  label: "tank",
  state: "ready",
  sizeBytes: 4 * GIB,
  usedBytes: GIB,
  scmUsedBytes: GIB / 2,
  nvmeUsedBytes: GIB / 2,
  scm: { totalBytes: 512 * MIB, usedBytes: 128 * MIB, freeBytes: 384 * MIB },
  log: { totalBytes: 128 * MIB, usedBytes: 2 * MIB, freeBytes: 126 * MIB },
  nvme: { totalBytes: 4 * GIB, usedBytes: MIB, freeBytes: 4 * GIB - MIB },
  containers: 0,
  targets: 2,
  rebuild: {
    state: "busy",
    dkeys: 1200,
    bytes: 48 * MIB,
    targetsDone: 1,
    targets: 2,
    dkeysToBring: 3600,
    dkeysLeft: 2400,
    bytesLeft: 96 << 20,
    dkeysPerSecond: 400,
    bytesPerSecond: 16 << 20,
    secondsLeft: 6,
  },
  health: {
    state: "degraded",
    gone: [1],
    tolerable: 0,
    reason: "rank 1 is gone: all can be read and written",
  },
  capacity: [
    { class: "SX", usableBytes: 3 * GIB, survives: 0 },
    { class: "RP_2GX", usableBytes: 1.5 * GIB, survives: 1 },
  ],
  createdAt: "2026-01-02T03:04:05.000Z",
  properties: { label: "tank" },
};

test("pool create prints the pool, as text and as JSON", async () => {
  const harness = new Harness();
  const { status, stdout } = await harness.run(
    "pool create tank --size 4GiB --properties user.owner:physics,user.at:10:30",
  );
  expect({ status, stdout }).toEqual({
    status: 0,
    stdout: [
      "Pool        tank",
      "Id          11111111-2222-4333-8444-555555555555",
      "State       ready",
      "Size        4 GiB",
      "Used        1 GiB (25 %)",
      "  SCM       512 MiB",
      "  NVMe      512 MiB",
      "SCM tier    128 MiB of 512 MiB used by all pools, 384 MiB free",
      "  log       2 MiB of 128 MiB used by all pools, 126 MiB free",
      "NVMe tier   1 MiB of 4 GiB used by all pools, 4 GiB free",
      "Containers  0",
      "Targets     2",
      "Rebuild     busy, 1 of 2 targets done, 1200 dkeys, 48 MiB, 2400 dkeys left, about 6 s",
      "Health      degraded: rank 1 is gone: all can be read and written; 0 more failure(s) are survived",
      "Room for    3 GiB as SX, survives 0",
      "            1.5 GiB as RP_2GX, survives 1",
      "Created     2026-01-02T03:04:05.000Z",
      "user.owner  physics",
      "user.at     10:30",
      "",
    ].join("\n"),
  });
  await harness.run("pool destroy tank");
  expect(await harness.json("pool create tank --size 4GiB")).toEqual({ status: 0, value: TANK, stderr: "" });
});

test("pool create of a pool that is there fails", async () => {
  const harness = await prepared();
  const { status, stderr } = await harness.run("pool create tank --size 1GiB");
  expect({ status, stderr }).toEqual({
    status: 1,
    stderr: 'daos: Cannot create pool "tank": there is one. Choose another label.\n',
  });
});

test("pool list aligns its columns; an empty list is a heading and []", async () => {
  const harness = new Harness();
  expect((await harness.run("pool list")).stdout).toBe("Pool  Size  Used  Full  Containers  State\n");
  expect((await harness.json("pool list")).value).toEqual([]);
  await harness.run("pool create tank --size 4GiB");
  await harness.run("pool create a-long-label --size 64MiB");
  expect((await harness.run("pool list")).stdout).toBe(
    [
      "Pool            Size    Used  Full  Containers  State",
      "tank           4 GiB   1 GiB  25 %           0  ready",
      "a-long-label  64 MiB  16 MiB  25 %           0  ready",
      "",
    ].join("\n"),
  );
  const { value } = await harness.json("pool list");
  expect(value[0]).toEqual(TANK);
  expect(value).toHaveLength(2);
});

test("pool query", async () => {
  const harness = new Harness();
  await harness.run("pool create tank --size 4GiB");
  expect((await harness.json("pool query tank")).value).toEqual(TANK);
  expect((await harness.run("pool query tank")).stdout).toContain("Used        1 GiB (25 %)\n");
  expect(await harness.run("pool query lake")).toMatchObject({ status: 1, stdout: "" });
});

test("pool destroy needs --force when there are containers", async () => {
  const harness = await prepared();
  const refused = await harness.run("pool destroy tank");
  expect(refused.status).toBe(1);
  expect(refused.stderr).toContain("--force");
  expect(harness.system.pools.has("tank")).toBe(true);
  expect(await harness.json("pool destroy tank --force")).toMatchObject({
    status: 0,
    value: { pool: "tank", destroyed: true },
  });
  expect(harness.system.pools.size).toBe(0);
  expect((await harness.run("pool destroy tank")).status).toBe(1);
});

test("pool set-prop and get-prop", async () => {
  const harness = await prepared();
  expect(await harness.run("pool set-prop tank user.owner:physics user.url:http://x:1")).toMatchObject({
    status: 0,
    stdout: "",
  });
  expect((await harness.run("pool get-prop tank user.owner user.url")).stdout).toBe(
    "Property    Value\nuser.owner  physics\nuser.url    http://x:1\n",
  );
  expect((await harness.json("pool get-prop tank")).value).toEqual({
    pool: "tank",
    properties: { label: "tank", "user.owner": "physics", "user.url": "http://x:1" },
  });
  const { status, stderr } = await harness.run("pool get-prop tank labl");
  expect({ status, stderr }).toEqual({
    status: 1,
    stderr: 'daos: Cannot show property "labl": there is none of that name. Did you mean "label"?\n',
  });
  expect((await harness.json("pool set-prop tank user.owner:chemistry")).value).toEqual({
    pool: "tank",
    properties: { label: "tank", "user.owner": "chemistry", "user.url": "http://x:1" },
  });
});

test("a name from elsewhere cannot drive the terminal", async () => {
  const harness = await prepared();
  await harness.run(["pool", "set-prop", "tank", "user.note:\u001b]0;pwned\u0007\u202e"]);
  const { stdout } = await harness.run("pool get-prop tank user.note");
  expect(stdout).toContain("\\x1b]0;pwned\\x07\\u{202e}\n");
});

test("pool resize sets the size, and prints the pool as it is then", async () => {
  const harness = await prepared();
  expect((await harness.json("pool resize tank 8GiB")).value).toMatchObject({ label: "tank", sizeBytes: 8 * GIB });
  expect((await harness.run("pool resize tank much")).status).toBe(2);
});
