/** A backup of the records while changes go on: one moment of all of them, in pieces. */
import { expect, test } from "bun:test";
import { MIB } from "../../src/base/limits.ts";
import { MetaRecords } from "../../src/control/meta-records.ts";
import { SystemBackup } from "../../src/control/system-backup.ts";
import { decodeMetaBackup, type MetaBackup } from "../../src/format/meta-backup.ts";
import { Opcode } from "../../src/format/operations.ts";
import type { SystemBackupReply } from "../../src/format/system-operations.ts";
import { tankRig, type EnginesRig } from "./engines-rig.ts";
import { codeOf, fakeClock, SYSTEM_ID } from "./harness.ts";
import { MemoryMetaStore } from "./memory-meta-store.ts";

const read = ({ plane }: EnginesRig, args: object): Promise<SystemBackupReply> =>
  plane.call(Opcode.systemBackup, args) as Promise<SystemBackupReply>;

async function backupOf(rig: EnginesRig): Promise<MetaBackup> {
  const pieces: Uint8Array[] = [];
  let piece = await read(rig, {});
  for (let offset = 0; ;) {
    pieces.push(piece.bytes);
    offset += piece.bytes.length;
    if (offset >= piece.sizeBytes) return decodeMetaBackup(Buffer.concat(pieces));
    piece = await read(rig, { id: piece.id, offset });
  }
}

test("the backup has all records but who leads, also when they take several pieces and change meanwhile", async () => {
  const rig = await tankRig(2);
  for (let index = 0; index < 200; index += 1) {
    const properties = { "user.note": "x".repeat(1000) };
    await rig.plane.containers.create({ pool: "tank", label: `c${index}`, type: "kv", properties });
  }
  rig.meta.entries.set("leader", { value: new Uint8Array(1), revision: 1 });
  const wanted = [...rig.meta.entries].filter(([key]) => key !== "leader").sort();
  const first = await read(rig, {});
  expect(first.sizeBytes).toBeGreaterThan(first.bytes.length);
  const making = backupOf(rig);
  await rig.plane.pools.create({ label: "later", sizeBytes: 16 * MIB });
  const { header, records } = await making;
  expect(header).toMatchObject({ system: SYSTEM_ID, name: "daos", software: "daos 0.1.0" });
  expect(records.map(({ key }) => key)).toEqual(wanted.map(([key]) => key).sort());
  expect(records.map(({ value }) => Buffer.from(value).toString())).toEqual(
    wanted.map(([, { value }]) => Buffer.from(value).toString()),
  );
});

test("a backup is kept until it was handed over, another one is made, or nobody has asked for a minute", async () => {
  const store = new MemoryMetaStore();
  for (let index = 0; index < 40; index += 1) {
    await store.commit([], [{ put: `k${index}`, value: Buffer.alloc(10_000, 65) }]);
  }
  const clock = fakeClock();
  const parts = { records: new MetaRecords(store), clock, system: { id: SYSTEM_ID, name: "daos" }, software: "x" };
  const backup = new SystemBackup(parts);
  const first = await backup.read({});
  const second = await backup.read({});
  expect(await codeOf(backup.read({ id: first.id, offset: 10 }))).toBe("NOT_FOUND");
  clock.nowMs += 59_000;
  await backup.read({ id: second.id, offset: 10 });
  clock.nowMs += 61_000;
  expect(await codeOf(backup.read({ id: second.id, offset: 20 }))).toBe("NOT_FOUND");
  const third = await backup.read({});
  await backup.read({ id: third.id, offset: third.sizeBytes - 5 });
  expect(await codeOf(backup.read({ id: third.id, offset: 0 }))).toBe("NOT_FOUND");
});
