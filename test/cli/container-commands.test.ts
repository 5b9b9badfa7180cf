/** `daos container ...` and `daos container snapshot ...` against a fake system. */
import { expect, test } from "bun:test";
import { Harness, prepared } from "./harness.ts";

const DEMO = {
  id: "66666666-7777-4888-8999-000000000000",
  label: "demo",
  type: "kv",
  pool: "tank",
  state: "ready",
  usedBytes: 12_288,
  snapshots: 0,
  health: { state: "whole", gone: [], tolerable: 1, reason: "" },
  createdAt: "2026-01-02T03:04:05.000Z",
  properties: { label: "demo", oclass: "SX", chunk_size: 1_048_576 },
};

test("container create prints the container; flags become properties", async () => {
  const harness = new Harness();
  await harness.run("pool create tank --size 4GiB");
  expect(await harness.json("container create tank demo --type kv")).toEqual({ status: 0, value: DEMO, stderr: "" });
  const { stdout } = await harness.run(
    "container create tank bulk --class s4 --chunk-size 4MiB --properties user.a:b,rd_fac:0",
  );
  expect(stdout).toBe(
    [
      "Container   bulk",
      "Id          66666666-7777-4888-8999-000000000000",
      "Pool        tank",
      "Type        object",
      "State       ready",
      "Used        12 KiB",
      "Snapshots   0",
      "Health      whole, 1 more failure(s) are survived",
      "Created     2026-01-02T03:04:05.000Z",
      "oclass      S4",
      "chunk_size  4194304",
      "user.a      b",
      "rd_fac      0",
      "",
    ].join("\n"),
  );
});

test("container create --type posix: the engine knows whether it has a plugin for it", async () => {
  const harness = new Harness();
  await harness.run("pool create tank --size 4GiB");
  const { status, stderr } = await harness.run("container create tank files --type posix");
  expect({ status, stderr }).toEqual({
    status: 1,
    stderr:
      'daos: Cannot create container "files" of type posix: no interface for it is loaded. Use one of kv, object.\n',
  });
  expect((await harness.json("container create tank files --type posix")).value.error.code).toBe("UNSUPPORTED");
  harness.system.containerTypes = ["kv", "object", "posix"];
  expect((await harness.json("container create tank files --type posix")).value.type).toBe("posix");
});

test("container create fails in a pool that is not there, and for a label that is taken", async () => {
  const harness = await prepared();
  expect(await harness.run("container create lake demo")).toMatchObject({ status: 1 });
  expect((await harness.json("container create tank demo")).value.error.code).toBe("ALREADY_EXISTS");
});

test("container list and query", async () => {
  const harness = await prepared();
  expect((await harness.run("container list tank")).stdout).toBe(
    [
      "Container  Type      Used  Snapshots  State",
      "demo       kv      12 KiB          0  ready",
      "bulk       object  12 KiB          0  ready",
      "",
    ].join("\n"),
  );
  expect((await harness.json("container list tank")).value[0]).toEqual(DEMO);
  expect((await harness.json("container query tank demo")).value).toEqual(DEMO);
  expect(await harness.run("container query tank nope")).toMatchObject({ status: 1, stdout: "" });
});

test("container set-prop and get-prop", async () => {
  const harness = await prepared();
  expect((await harness.run("container set-prop tank demo user.owner:physics")).status).toBe(0);
  expect((await harness.json("container get-prop tank demo user.owner oclass")).value).toEqual({
    pool: "tank",
    container: "demo",
    properties: { "user.owner": "physics", oclass: "SX" },
  });
  expect((await harness.run("container get-prop tank demo oclass")).stdout).toBe("Property  Value\noclass    SX\n");
});

test("container destroy, and its --force", async () => {
  const harness = await prepared();
  await harness.run("container snapshot create tank demo one");
  expect((await harness.run("container destroy tank demo")).status).toBe(1);
  expect((await harness.json("container destroy tank demo --force")).value).toEqual({
    pool: "tank",
    container: "demo",
    destroyed: true,
  });
  expect((await harness.run("container destroy tank bulk")).stdout).toBe("Destroyed container bulk.\n");
  expect((await harness.json("container list tank")).value).toEqual([]);
});

test("snapshot create, list, destroy", async () => {
  const harness = await prepared();
  expect((await harness.run("container snapshot create tank demo monday")).stdout).toBe(
    "Created snapshot monday at epoch 1000.\n",
  );
  const createdAt = "2026-01-02T03:04:05.000Z";
  expect((await harness.json("container snapshot create tank demo")).value).toEqual({
    name: "1001",
    epoch: 1001,
    createdAt,
  });
  expect((await harness.run("container snapshot list tank demo")).stdout).toBe(
    `Snapshot  Epoch  Created\nmonday     1000  ${createdAt}\n1001       1001  ${createdAt}\n`,
  );
  expect((await harness.json("container snapshot list tank demo")).value[0]).toEqual({
    name: "monday",
    epoch: 1000,
    createdAt,
  });
  expect((await harness.json("container snapshot destroy tank demo monday")).value).toEqual({
    pool: "tank",
    container: "demo",
    snapshot: "monday",
    destroyed: true,
  });
  expect((await harness.run("container snapshot destroy tank demo monday")).status).toBe(1);
  expect((await harness.run("container snapshot create tank demo 1001")).status).toBe(1);
  expect((await harness.run("container snapshot create tank demo a/b")).status).toBe(2);
});

test("containers are opened for writing only by what writes", async () => {
  const harness = await prepared();
  const demo = harness.system.pools.get("tank")!.containers.get("demo")!;
  await harness.run("container snapshot create tank demo one");
  await harness.run("container snapshot list tank demo");
  await harness.run("kv put tank demo k v");
  await harness.run("kv get tank demo k");
  await harness.run("kv list tank demo");
  await harness.run("kv delete tank demo k");
  expect(demo.opened).toEqual([false, true, false, true, true, false]);
});

test("snapshot diff, between two and since one", async () => {
  const harness = await prepared();
  await harness.run("kv put tank demo kept same");
  await harness.run("kv put tank demo gone x");
  await harness.run("container snapshot create tank demo one");
  await harness.run("kv put tank demo new y");
  await harness.run("kv delete tank demo gone");
  await harness.run("container snapshot create tank demo two");
  await harness.run("kv put tank demo kept other");
  const oid = "0a01ffff00000000.0000000000000001";
  expect((await harness.run("container snapshot diff tank demo one two")).stdout).toBe(
    `removed  ${oid}  gone\nadded    ${oid}  new\n`,
  );
  expect((await harness.json("container snapshot diff tank demo two")).value).toEqual([
    { change: "changed", objectId: oid, dkey: "kept", dkeyEncoding: "utf8", akey: "", akeyEncoding: "utf8" },
  ]);
  expect((await harness.run("container snapshot diff tank demo three")).status).toBe(1);
});
