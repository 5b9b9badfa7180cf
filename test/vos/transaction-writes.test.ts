import { expect, test } from "bun:test";
import { crc32 } from "../../src/base/checksum.ts";
import { damagedBeforeStore } from "../../src/base/damage.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { encodePartWrites, type PartWrite } from "../../src/format/transaction-part.ts";
import { keptWrites } from "../../src/vos/transaction-writes.ts";
import { expectCode } from "../store/expect-code.ts";
import { CONTAINER, key, makeRig, oid, refusal } from "./rig.ts";

const VALUE = Buffer.from("some value");
const WRITES: PartWrite[] = [
  { kind: "update", akey: key("a"), value: VALUE, replaces: false },
  { kind: "punchAkey", akey: key("b") },
];

test("keptWrites gives values their checksums; a bit that has flipped in what is kept is CORRUPT", () => {
  const bytes = encodePartWrites(WRITES);
  const checksum = crc32(bytes);
  expect(keptWrites(bytes, checksum).map((write) => write.checksum)).toEqual([crc32(VALUE), undefined]);
  for (let bit = 0; bit < 8 * bytes.length; bit += 1) {
    const damaged = bytes.slice();
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    expectCode("CORRUPT", () => keptWrites(damaged, checksum));
  }
});

test("a step whose bytes have changed when its writes are taken over locks nothing", async () => {
  const rig = makeRig();
  const at = { oid: oid(1), dkey: key("d"), epoch: 0 as Epoch };
  const order = { origin: { client: 9, sequence: 1, firstIncomplete: 0 }, isPrepared: false, epoch: undefined };
  const part = { id: { client: 5, sequence: 1 }, primary: undefined, resolveSequence: 2 };
  const checkSent = (): void => {
    throw damagedBeforeStore("by the test");
  };
  const request = { ...at, order, checkSent };
  const step = { kind: "prepare", part, reads: [], writes: WRITES } as const;
  expect(await refusal(() => rig.objects.transactionStep(CONTAINER, request, step))).toBe("DAMAGED");
  expect(rig.objects.locks.size).toBe(0);
});
