import { expect, test } from "bun:test";
import fc from "fast-check";
import { DaosError } from "../../src/base/errors.ts";
import { MAX_ENUMERATION_KEYS } from "../../src/base/limits.ts";
import { checkArguments, type OperationArguments } from "../../src/format/operation-arguments.ts";
import { Opcode } from "../../src/format/operations.ts";

const oid = new Uint8Array(16);
const key = Uint8Array.of(1, 2);
const box = { pool: "tank", container: "box" };
const list = { handle: 1, oid, limit: 10, epoch: 0 };

/** Arguments of each operation with every member it has; `optional` names those that may be left out. */
const FULL: {
  readonly [Op in keyof OperationArguments]: { args: Record<string, unknown>; optional: readonly string[] };
} = {
  [Opcode.serverStop]: { args: { rank: 1 }, optional: ["rank"] },
  [Opcode.systemCheck]: {
    args: { pool: "a", repair: true, policies: { POOL_BAD_LABEL: "IGNORE" }, after: "pools " },
    optional: ["pool", "policies", "after"],
  },
  [Opcode.deviceSetFaulty]: { args: { device: "a", force: true }, optional: [] },
  [Opcode.deviceReplace]: { args: { device: "a", successor: "b", force: true }, optional: [] },
  [Opcode.deviceIdentify]: { args: { device: "a" }, optional: [] },
  [Opcode.poolCreate]: { args: { label: "a", sizeBytes: 1, properties: { x: 1 } }, optional: ["properties"] },
  [Opcode.poolList]: { args: { after: "a", limit: 3 }, optional: ["after", "limit"] },
  [Opcode.poolQuery]: { args: { pool: "a" }, optional: [] },
  [Opcode.poolDestroy]: { args: { pool: "a", force: true }, optional: [] },
  [Opcode.poolGetProperties]: { args: { pool: "a" }, optional: [] },
  [Opcode.poolSetProperties]: { args: { pool: "a", properties: { a: true } }, optional: [] },
  [Opcode.poolQueryTargets]: { args: { pool: "a" }, optional: [] },
  [Opcode.poolExclude]: {
    args: { pool: "a", ranks: [1], targets: [5], force: true },
    optional: ["ranks", "targets", "force"],
  },
  [Opcode.poolReintegrate]: {
    args: { pool: "a", ranks: [1], targets: [5], force: true },
    optional: ["ranks", "targets", "force"],
  },
  [Opcode.poolExtend]: { args: { pool: "a", ranks: [1] }, optional: [] },
  [Opcode.poolDrain]: {
    args: { pool: "a", ranks: [1], targets: [5], force: true },
    optional: ["ranks", "targets", "force"],
  },
  [Opcode.poolScrub]: {
    args: { pool: "a", action: "start", bytesPerSecond: 1_048_576 },
    optional: ["bytesPerSecond"],
  },
  [Opcode.containerCreate]: {
    args: { pool: "a", label: "b", type: "kv", properties: { a: "b" } },
    optional: ["properties"],
  },
  [Opcode.containerList]: { args: { pool: "a", after: "b", limit: 1 }, optional: ["after", "limit"] },
  [Opcode.containerQuery]: { args: box, optional: [] },
  [Opcode.containerDestroy]: { args: { ...box, force: false }, optional: [] },
  [Opcode.containerGetProperties]: { args: box, optional: [] },
  [Opcode.containerSetProperties]: { args: { ...box, properties: {} }, optional: [] },
  [Opcode.containerOpen]: { args: { ...box, readOnly: false }, optional: [] },
  [Opcode.snapshotCreate]: { args: { ...box, name: "" }, optional: [] },
  [Opcode.snapshotList]: { args: box, optional: [] },
  [Opcode.snapshotDestroy]: { args: { ...box, name: "s" }, optional: [] },
  [Opcode.systemEvents]: {
    args: { after: 1, sinceMs: 2, severity: "warn", limit: 3 },
    optional: ["after", "sinceMs", "severity", "limit"],
  },
  [Opcode.systemExclude]: { args: { ranks: [1], force: true, after: "a" }, optional: ["force", "after"] },
  [Opcode.systemDrain]: { args: { ranks: [1], force: true, after: "a" }, optional: ["force", "after"] },
  [Opcode.systemReintegrate]: { args: { ranks: [1], force: true, after: "a" }, optional: ["force", "after"] },
  [Opcode.systemStop]: { args: { ranks: [1], force: true, restart: true }, optional: ["ranks", "force", "restart"] },
  [Opcode.systemBackup]: { args: { id: 1, offset: 2 }, optional: ["id", "offset"] },
  [Opcode.systemStart]: { args: { ranks: [1] }, optional: ["ranks"] },
  [Opcode.selfHealSet]: { args: { flags: ["exclude"] }, optional: [] },
  [Opcode.attach]: { args: { capability: key }, optional: [] },
  [Opcode.detach]: { args: { handle: 1 }, optional: [] },
  [Opcode.epochQuery]: { args: { handle: 1 }, optional: [] },
  [Opcode.dtxAttach]: { args: { capability: key, pool: "p", target: 3 }, optional: [] },
  [Opcode.dtxSummary]: { args: { container: 1, epochs: [5], dkeys: [{ oid, dkey: key }] }, optional: [] },
  [Opcode.dtxResync]: { args: { pool: "p" }, optional: [] },
  [Opcode.dkeyList]: { args: { ...list, prefix: key, after: key }, optional: ["prefix", "after"] },
  [Opcode.akeyList]: { args: { ...list, dkey: key, after: key }, optional: ["dkey", "after"] },
  [Opcode.extentList]: { args: { ...list, dkey: key, akey: key, from: 0, to: 9 }, optional: ["dkey", "akey", "to"] },
  [Opcode.objectList]: { args: { handle: 1, after: key, limit: 1, epoch: 0 }, optional: ["after"] },
  [Opcode.keyQuery]: {
    args: {
      handle: 1,
      oid,
      direction: "max",
      levels: ["dkey"],
      dkey: key,
      akey: key,
      epoch: 5,
      within: { start: 0, end: 9 },
    },
    optional: ["dkey", "akey", "within"],
  },
  [Opcode.changeList]: { args: { handle: 1, fromEpoch: 0, toEpoch: 9, after: key, limit: 1 }, optional: ["after"] },
};
const OPCODES = Object.keys(FULL).map(Number) as (keyof OperationArguments)[];

function codeOf(opcode: keyof OperationArguments, args: unknown): string {
  try {
    checkArguments(opcode, args);
    return "ok";
  } catch (error) {
    if (error instanceof DaosError) return error.code;
    throw error;
  }
}

test("full arguments pass unchanged, and without what is optional", () => {
  for (const opcode of OPCODES) {
    const { args, optional } = FULL[opcode];
    expect(checkArguments(opcode, args)).toEqual(args as never);
    for (const name of Object.keys(args)) {
      const { [name]: _, ...rest } = args;
      expect(`${opcode} ${name} ${codeOf(opcode, rest)}`).toBe(
        `${opcode} ${name} ${optional.includes(name) ? "ok" : "INVALID_ARGUMENT"}`,
      );
    }
  }
});

test("each member of another type is refused and named", () => {
  const others = [null, 3.5, -1, "\u0000".repeat(10_000), true, [], {}, new Uint8Array(5000), Number.NaN, 2 ** 60];
  for (const opcode of OPCODES) {
    const { args } = FULL[opcode];
    for (const [name, good] of Object.entries(args)) {
      for (const other of others) {
        const sameShape = typeof other === typeof good && typeof other !== "object" && typeof other !== "number";
        const emptyMap = (name === "properties" || name === "policies") && other !== null && typeof other === "object";
        if (sameShape && typeof other !== "string") continue;
        const emptyList = Array.isArray(good) && Array.isArray(other) && name !== "levels";
        if (emptyMap || emptyList) continue;
        expect(`${opcode} ${name} ${codeOf(opcode, { ...args, [name]: other })}`).toBe(
          `${opcode} ${name} INVALID_ARGUMENT`,
        );
        expect(() => checkArguments(opcode, { ...args, [name]: other })).toThrow(`"${name}`);
      }
    }
  }
});

test("unknown members are ignored, limits are capped", () => {
  expect(checkArguments(Opcode.poolQuery, { pool: "a", later: 1 })).toEqual({ pool: "a" });
  expect(checkArguments(Opcode.dkeyList, { ...list, limit: 1e9 }).limit).toBe(MAX_ENUMERATION_KEYS);
  expect(codeOf(Opcode.dkeyList, { ...list, limit: 0 })).toBe("INVALID_ARGUMENT");
  expect(codeOf(Opcode.dkeyList, { ...list, oid: new Uint8Array(15) })).toBe("INVALID_ARGUMENT");
});

test("anything at all is either checked or INVALID_ARGUMENT", () => {
  fc.assert(
    fc.property(fc.anything(), fc.constantFrom(...OPCODES), (value, opcode) => {
      expect(["ok", "INVALID_ARGUMENT"]).toContain(codeOf(opcode, value));
    }),
  );
});
