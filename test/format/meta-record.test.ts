import { expect, test } from "bun:test";
import fc from "fast-check";
import { DaosError } from "../../src/base/errors.ts";
import { decodeMetaRecord, encodeMetaRecord, type MetaRecordKind } from "../../src/format/meta-record.ts";

const ID = "11111111-2222-4333-8444-555555555555";
const OTHER = "99999999-2222-4333-8444-555555555555";

/** One of each kind, and its bytes since version 1. */
const GOLDEN: { readonly [Kind in MetaRecordKind]: readonly [object, string] } = {
  system: [
    { id: ID, name: "daos", createdAtMs: 1767323045000, capabilityKey: "ab".repeat(32) },
    `system/1 SUM {"id":"${ID}","name":"daos","createdAtMs":1767323045000,"capabilityKey":"${"ab".repeat(32)}"}`,
  ],
  pool: [
    {
      id: ID,
      label: "tank",
      state: "ready",
      sizeBytes: 1073741824,
      containers: 2,
      createdAtMs: 1767323045000.5,
      properties: { "user.owner": "ann" },
    },
    `pool/1 SUM {"id":"${ID}","label":"tank","state":"ready","sizeBytes":1073741824,"containers":2,` +
      `"createdAtMs":1767323045000.5,"properties":{"user.owner":"ann"}}`,
  ],
  container: [
    {
      id: OTHER,
      pool: ID,
      number: 7,
      label: "box",
      type: "kv",
      state: "creating",
      snapshots: 0,
      createdAtMs: 1767323045000,
      properties: { rd_fac: 0, oclass: "S1" },
    },
    `container/1 SUM {"id":"${OTHER}","pool":"${ID}","number":7,"label":"box","type":"kv","state":"creating",` +
      `"snapshots":0,"createdAtMs":1767323045000,"properties":{"rd_fac":0,"oclass":"S1"}}`,
  ],
  snapshot: [
    { name: "monday", state: "destroying", epoch: 158198245000000, createdAtMs: 1767323045000 },
    `snapshot/1 SUM {"name":"monday","state":"destroying","epoch":158198245000000,"createdAtMs":1767323045000}`,
  ],
  label: [{ id: ID }, `label/1 SUM {"id":"${ID}"}`],
  member: [
    {
      rank: 2,
      engine: OTHER,
      state: "joined",
      domain: "/rack1/node2",
      incarnation: 1767323045000,
      host: "10.0.0.5",
      port: 10001,
      targets: [{ host: "10.0.0.5", port: 10002 }],
      scmBytes: 67108864,
      nvmeBytes: 268435456,
    },
    `member/1 SUM {"rank":2,"engine":"${OTHER}","state":"joined","domain":"/rack1/node2",` +
      `"incarnation":1767323045000,"host":"10.0.0.5","port":10001,"targets":[{"host":"10.0.0.5","port":10002}],` +
      `"scmBytes":67108864,"nvmeBytes":268435456}`,
  ],
  map: [
    {
      version: 3,
      targets: [
        { index: 0, rank: 0, target: 0, domain: "/", state: "UPIN", since: 1 },
        { index: 1, rank: 2, target: 0, domain: "/rack1", state: "DOWN", since: 3 },
      ],
    },
    `map/1 SUM {"version":3,"targets":[{"index":0,"rank":0,"target":0,"domain":"/","state":"UPIN","since":1},` +
      `{"index":1,"rank":2,"target":0,"domain":"/rack1","state":"DOWN","since":3}]}`,
  ],
  leader: [
    { engine: OTHER, host: "10.0.0.5", port: 10001 },
    `leader/1 SUM {"engine":"${OTHER}","host":"10.0.0.5","port":10001}`,
  ],
  policy: [{ flags: ["exclude"] }, `policy/1 SUM {"flags":["exclude"]}`],
  event: [
    {
      number: 12,
      id: "device_faulty",
      severity: "error",
      timeMs: 1767323045000,
      message: "device x is faulty",
      rank: 2,
      target: 0,
      device: OTHER,
      pool: "tank",
      by: { rank: 2, incarnation: 1767323045000, sequence: 3 },
    },
    `event/1 SUM {"number":12,"id":"device_faulty","severity":"error","timeMs":1767323045000,` +
      `"message":"device x is faulty","rank":2,"target":0,"device":"${OTHER}","pool":"tank",` +
      `"by":{"rank":2,"incarnation":1767323045000,"sequence":3}}`,
  ],
  requests: [
    { firstIncomplete: 3, latest: 158198245000000, done: [{ sequence: 4, subject: ID }] },
    `requests/1 SUM {"firstIncomplete":3,"latest":158198245000000,"done":[{"sequence":4,"subject":"${ID}"}]}`,
  ],
  removal: [{ pool: ID }, `removal/1 SUM {"pool":"${ID}"}`],
  counter: [{ value: 41 }, `counter/1 SUM {"value":41}`],
};
const CHECKSUMS: Record<MetaRecordKind, string> = {
  system: "9463bc42",
  pool: "1b1acdca",
  container: "d15de689",
  snapshot: "bbd9a509",
  label: "03aff2c9",
  member: "1e068cf5",
  map: "d3a9ee38",
  leader: "c7c6b9d2",
  policy: "00904dc3",
  event: "79128065",
  requests: "8aaa9be1",
  removal: "6641a212",
  counter: "ce8342f4",
};
const KINDS = Object.keys(GOLDEN) as MetaRecordKind[];

function codeOf(kind: MetaRecordKind, bytes: Uint8Array): string {
  try {
    decodeMetaRecord(kind, "some/key", bytes);
    return "ok";
  } catch (error) {
    if (error instanceof DaosError) return error.code;
    throw error;
  }
}

test("each kind has its golden bytes, both ways", () => {
  for (const kind of KINDS) {
    const [record, text] = GOLDEN[kind];
    const golden = text.replace("SUM", CHECKSUMS[kind]);
    expect(Buffer.from(encodeMetaRecord(kind, record as never)).toString()).toBe(golden);
    expect(decodeMetaRecord(kind, "some/key", Buffer.from(golden))).toEqual(record as never);
  }
});

test("a newer version is VERSION, whatever follows; the record's key is in the message", () => {
  expect(codeOf("label", Buffer.from("label/2 00000000 ???"))).toBe("VERSION");
  expect(() => decodeMetaRecord("label", "pool-label/x", Buffer.from("label/9 00000000 {}"))).toThrow("pool-label/x");
});

test("every flipped bit and every cut is CORRUPT or VERSION", () => {
  for (const kind of KINDS) {
    const bytes = encodeMetaRecord(kind, GOLDEN[kind][0] as never);
    for (let length = 0; length < bytes.length; length += 1)
      expect(codeOf(kind, bytes.subarray(0, length))).toBe("CORRUPT");
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const damaged = Uint8Array.from(bytes);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      expect(["CORRUPT", "VERSION"]).toContain(codeOf(kind, damaged));
    }
  }
});

test("a record of another kind is CORRUPT", () => {
  for (const kind of KINDS) {
    for (const other of KINDS) {
      const bytes = encodeMetaRecord(other, GOLDEN[other][0] as never);
      expect(codeOf(kind, bytes)).toBe(kind === other ? "ok" : "CORRUPT");
    }
  }
});

test("random bytes never do anything else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(...KINDS), (bytes, kind) => {
      expect(codeOf(kind, bytes)).toBe("CORRUPT");
    }),
  );
});
