/**
 * Storage that was damaged while the engine was down: truncated, bit-flipped, missing, or of a newer version, in every one
 * of its parts. The engine refuses to start with a typed error, or everything it gives out is right; damaged bulk data is
 * CORRUPT when it is read, and nothing else suffers.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ByteString } from "../../src/base/bytes.ts";
import { crc32 } from "../../src/base/checksum.ts";
import { BLOCK_BYTES, KIB } from "../../src/base/limits.ts";
import { LABEL_AREA_BYTES } from "../../src/format/device-label.ts";
import { encodeStoreRow, STORE_ROW } from "../../src/format/settled-row.ts";
import { STORE_FORMAT_VERSION } from "../../src/format/superblock.ts";
import { type Container, connect, type System } from "../../src/library.ts";
import { openLmdbIndex } from "../../src/store/lmdb-index.ts";
import { EngineProcess } from "../crash/engine-process.ts";
import { codeOf, EngineRig, refusedStart, temporaryFolder } from "./engine-rig.ts";

const SETTLED_KEYS = 300;
const LOGGED_KEYS = 200;
const LARGE_KEYS = 8;
const LARGE_BYTES = 64 * KIB;
/** Time for the log to write its mark that everything acknowledged is durable. */
const MARK_MS = 250;

/** A storage folder with settled and logged data, its engine killed. Each test damages a copy. */
let original: string;

beforeAll(async () => {
  const rig = await EngineRig.start({ nvmeSize: "64MiB" });
  const kv = rig.container.kv();
  for (let index = 0; index < SETTLED_KEYS; index += 1) await kv.put(`settled-${index}`, small(index));
  for (let index = 0; index < LARGE_KEYS; index += 1) await kv.put(`large-${index}`, large(index));
  await rig.stop();
  await rig.startAgain();
  for (let index = 0; index < LOGGED_KEYS; index += 1) await rig.container.kv().put(`logged-${index}`, small(index));
  await Bun.sleep(MARK_MS);
  await rig.kill();
  original = rig.storage;
}, 60_000);

afterAll(() => rmSync(original, { recursive: true, force: true }));

function small(index: number): Buffer {
  return Buffer.from(`the small value of number ${index}`);
}

function large(index: number): Buffer {
  const bytes = Buffer.alloc(LARGE_BYTES, 0xa0 + index);
  bytes.write(`large ${index} begins`, 0);
  return bytes;
}

const SCM = "target-0/scm";
const NVME = "target-0/nvme";
const INDEX = "target-0/index.lmdb";
const META = "meta/meta.sqlite";

/** Runs `test` on a copy of the storage folder after `damage`. */
async function damaged(
  damage: (storage: string) => void | Promise<void>,
  check: (storage: string) => Promise<void>,
): Promise<void> {
  const storage = temporaryFolder();
  try {
    cpSync(original, storage, { recursive: true });
    await damage(storage);
    await check(storage);
  } finally {
    rmSync(storage, { recursive: true, force: true });
  }
}

function edit(storage: string, part: string, change: (bytes: Buffer) => void): void {
  const path = join(storage, part);
  const bytes = readFileSync(path);
  change(bytes);
  writeFileSync(path, bytes);
}

function flip(bytes: Buffer, offset: number): void {
  bytes[offset]! ^= 0x10;
}

/** Where `text` is, at least once. */
function places(bytes: Buffer, text: string | Buffer): number[] {
  const found: number[] = [];
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) found.push(at);
  expect(found.length).toBeGreaterThan(0);
  return found;
}

async function expectRefused(storage: string, message: RegExp): Promise<void> {
  const { status, output } = await refusedStart(storage);
  expect(output).toMatch(message);
  expect(status).toBe(1);
  // One line, no stack.
  expect(output.trim().split("\n").length).toBe(1);
}

async function serving(storage: string, use: (container: Container, system: System) => Promise<void>): Promise<void> {
  const engine = await EngineProcess.start({ storage });
  try {
    const system = await connect({ system: engine.address, retryWindowMs: 100 });
    const container = await system.pool("tank").openContainer("things", { readOnly: false });
    await use(container, system);
    await system.close();
  } finally {
    await engine.kill();
  }
}

async function expectSmallValues(container: Container): Promise<void> {
  for (const [prefix, count] of [
    ["settled", SETTLED_KEYS],
    ["logged", LOGGED_KEYS],
  ] as const) {
    for (let index = 0; index < count; index += 1) {
      const found = await container.kv().get(`${prefix}-${index}`);
      if (found === undefined || !small(index).equals(found.value)) throw new Error(`${prefix}-${index} is wrong`);
    }
  }
}

async function expectLargeValues(container: Container): Promise<void> {
  for (let index = 0; index < LARGE_KEYS; index += 1) {
    expect(large(index).equals((await container.kv().get(`large-${index}`))!.value)).toBe(true);
  }
}

test(
  "an undamaged copy is all there: what the other tests rest on",
  () =>
    damaged(
      () => {},
      (storage) =>
        serving(storage, async (container) => {
          await expectSmallValues(container);
          await expectLargeValues(container);
        }),
    ),
  20_000,
);

for (const part of [SCM, NVME, INDEX, META, "superblock"]) {
  test(
    `truncated: ${part}`,
    () =>
      damaged(
        (storage) => truncateSync(join(storage, part), Math.floor(readFileSync(join(storage, part)).length / 2)),
        (storage) =>
          expectRefused(
            storage,
            /^daos: Cannot .*(CORRUPT|damaged|cut off|bytes|are there|malformed|has no|is none|error code)/,
          ),
      ),
    20_000,
  );

  test(
    `missing: ${part}`,
    () =>
      damaged(
        (storage) => rmSync(join(storage, part)),
        async (storage) => {
          const { status, output } = await refusedStart(storage);
          expect(output).toMatch(/^daos: Cannot /);
          // A folder without superblock is no storage of ours: that is the configuration's fault.
          expect(status).toBe(part === "superblock" ? 2 : 1);
        },
      ),
    20_000,
  );
}

test("log: one flipped bit in records that were durable is turned back", async () => {
  const flipAll = (bytes: Buffer): void => {
    for (const index of [0, 100, LOGGED_KEYS - 1]) flip(bytes, places(bytes, small(index)).at(-1)! + 5);
  };
  await damaged(
    (storage) => edit(storage, SCM, flipAll),
    (storage) => serving(storage, expectSmallValues),
  );
}, 20_000);

test("log: other damage in a record that was durable is refused, first, middle or last", async () => {
  const flipTwo = (bytes: Buffer, at: number): void => [5, 9].forEach((offset) => flip(bytes, at + offset));
  for (const index of [0, 100, LOGGED_KEYS - 1]) {
    await damaged(
      (storage) => edit(storage, SCM, (bytes) => flipTwo(bytes, places(bytes, small(index)).at(-1)!)),
      (storage) => expectRefused(storage, /Cannot recover "log": records \d+ to \d+ were durable and are damaged/),
    );
  }
}, 30_000);

test(
  "log: a flipped bit beyond its end, or in one superblock copy, does no harm",
  () =>
    damaged(
      (storage) =>
        edit(storage, SCM, (bytes) => {
          const end = places(bytes, small(LOGGED_KEYS - 1)).at(-1)!;
          flip(bytes, end + 512 * KIB);
          flip(bytes, 4096 + 30);
        }),
      (storage) => serving(storage, expectSmallValues),
    ),
  20_000,
);

test(
  "log: both superblock copies damaged",
  () =>
    damaged(
      (storage) =>
        edit(storage, SCM, (bytes) => {
          flip(bytes, 30);
          flip(bytes, 4096 + 30);
        }),
      (storage) => expectRefused(storage, /Cannot open "region": it has no superblock/),
    ),
  20_000,
);

test("index: one flipped bit in a value is repaired when the value is read", async () => {
  await damaged(
    (storage) => edit(storage, INDEX, (bytes) => places(bytes, small(77)).forEach((at) => flip(bytes, at + 3))),
    (storage) =>
      serving(storage, async (container) => {
        const read = () => container.kv().get("settled-77");
        const first = await read().catch((error: { code: string }) => error);
        if ("code" in first!) expect(first.code).toBe("CORRUPT");
        for (let found = first; found === undefined || !("value" in found);) {
          await Bun.sleep(20);
          found = await read().catch((error: { code: string }) => error);
        }
        await expectSmallValues(container);
      }),
  );
}, 20_000);

test("index: a flipped bit in a key, in a page header or in both meta pages, other damage in a value is refused", async () => {
  const pageOf = (bytes: Buffer): number => Math.floor(places(bytes, "settled-7")[0]! / BLOCK_BYTES) * BLOCK_BYTES;
  // Pages that are no longer used may hold older copies: all of them are damaged.
  const damages: ((bytes: Buffer) => void)[] = [
    (bytes) => places(bytes, "settled-77").forEach((at) => flip(bytes, at + 8)),
    (bytes) => places(bytes, small(77)).forEach((at) => [3, 8].forEach((offset) => flip(bytes, at + offset))),
    (bytes) => places(bytes, "settled-7").forEach((at) => flip(bytes, Math.floor(at / BLOCK_BYTES) * BLOCK_BYTES + 20)),
    (bytes) => flip(bytes, pageOf(bytes) + 22),
    (bytes) => [24, BLOCK_BYTES + 24].forEach((at) => flip(bytes, at)),
  ];
  for (const damage of damages) {
    await damaged(
      (storage) => edit(storage, INDEX, damage),
      (storage) => expectRefused(storage, /Cannot open .*index.lmdb/),
    );
  }
}, 40_000);

test("index: one of another store, or an empty one", async () => {
  const other = await EngineRig.start({ nvmeSize: "64MiB" });
  await other.kill();
  try {
    await damaged(
      (storage) => cpSync(join(other.storage, INDEX), join(storage, INDEX)),
      (storage) => expectRefused(storage, /region and its index belong to different stores/),
    );
  } finally {
    await other.remove();
  }
  await damaged(
    (storage) => truncateSync(join(storage, INDEX), 0),
    (storage) => expectRefused(storage, /index/),
  );
}, 30_000);

test(
  "extents: a damaged one is CORRUPT when read, again and again, and all else is served",
  () =>
    damaged(
      (storage) =>
        edit(storage, NVME, (bytes) => {
          for (const index of [2, 5])
            flip(bytes, places(bytes, `large ${index} begins`)[0]! + index * BLOCK_BYTES + 77);
        }),
      (storage) =>
        serving(storage, async (container, system) => {
          for (let index = 0; index < LARGE_KEYS; index += 1) {
            const read = container.kv().get(`large-${index}`);
            if (index === 2 || index === 5) expect(await codeOf(read)).toBe("CORRUPT");
            else expect(large(index).equals((await read)!.value)).toBe(true);
          }
          expect(await codeOf(container.kv().get("large-2"))).toBe("CORRUPT");
          await expectSmallValues(container);
          await container.kv().put("large-2", large(2));
          expect(large(2).equals((await container.kv().get("large-2"))!.value)).toBe(true);
          expect((await system.metrics()).targets[0]!.failures).toBeGreaterThan(0);
        }),
    ),
  30_000,
);

test(
  "extents: a device of zeros is CORRUPT in every value, and takes new ones",
  () =>
    damaged(
      (storage) => edit(storage, NVME, (bytes) => bytes.subarray(LABEL_AREA_BYTES, -LABEL_AREA_BYTES).fill(0)),
      (storage) =>
        serving(storage, async (container) => {
          for (let index = 0; index < LARGE_KEYS; index += 1)
            expect(await codeOf(container.kv().get(`large-${index}`))).toBe("CORRUPT");
          await expectSmallValues(container);
          await container.kv().put("new", large(1));
          expect(large(1).equals((await container.kv().get("new"))!.value)).toBe(true);
        }),
    ),
  30_000,
);

test("label: one damaged copy is repaired, both are CORRUPT, one of another system is refused", async () => {
  const [first, last] = [() => 40, (bytes: Buffer) => bytes.length - BLOCK_BYTES + 40];
  for (const place of [first, last]) {
    await damaged(
      (storage) => edit(storage, NVME, (bytes) => flip(bytes, place(bytes))),
      (storage) => serving(storage, expectSmallValues),
    );
  }
  await damaged(
    (storage) => edit(storage, NVME, (bytes) => [first, last].forEach((place) => flip(bytes, place(bytes)))),
    async (storage) => {
      const { status, output } = await refusedStart(storage);
      expect([status, output]).toEqual([1, expect.stringContaining("both copies of its label are damaged")]);
    },
  );
}, 30_000);

test("meta store: a flipped bit in a record, in a page header, and bytes that are no database", async () => {
  // The log of the database is folded into it first, so that there is one place to damage.
  const fold = (storage: string): void => {
    const database = new Database(join(storage, META));
    database.run("PRAGMA journal_mode = DELETE");
    database.close();
  };
  const damages: ((bytes: Buffer) => void)[] = [
    (bytes) => places(bytes, "capabilityKey").forEach((at) => flip(bytes, at + 20)),
    (bytes) => flip(bytes, BLOCK_BYTES),
    (bytes) => bytes.fill(0x5a),
  ];
  for (const damage of damages) {
    await damaged(
      (storage) => {
        fold(storage);
        edit(storage, META, damage);
      },
      (storage) => expectRefused(storage, /Cannot (open|read) .*meta.sqlite/),
    );
  }
}, 30_000);

test("superblock: any flipped bit is refused", async () => {
  for (const offset of [0, 8, 14, 18, 60, 200]) {
    await damaged(
      (storage) => edit(storage, "superblock", (bytes) => flip(bytes, offset)),
      (storage) => expectRefused(storage, /superblock is damaged|format has version/),
    );
  }
}, 30_000);

test("a newer format version of each part is refused, and says so", async () => {
  const newer: Record<string, (storage: string) => void | Promise<void>> = {
    superblock: (storage) => edit(storage, "superblock", (bytes) => bytes.write("4", "daos-storage/".length)),
    region: (storage) =>
      edit(storage, SCM, (bytes) => {
        for (const copy of [0, 4096]) {
          bytes.writeUInt16LE(STORE_FORMAT_VERSION + 1, copy + 4);
          bytes.writeUInt32LE(crc32(bytes.subarray(copy, copy + 60)), copy + 60);
        }
      }),
    index: async (storage) => {
      const index = openLmdbIndex({ path: join(storage, INDEX), sizeBytes: 2 ** 26 });
      const id = index.get("meta", STORE_ROW)!.subarray(12);
      const row = encodeStoreRow(Buffer.from(id).toString("latin1") as ByteString, STORE_FORMAT_VERSION + 1);
      index.transact((transaction) => transaction.put("meta", STORE_ROW, row));
      await index.close();
    },
    "meta store": (storage) => {
      const database = new Database(join(storage, META));
      database.run("PRAGMA user_version = 2");
      database.close();
    },
  };
  for (const [part, make] of Object.entries(newer)) {
    await damaged(make, async (storage) => {
      const { status, output } = await refusedStart(storage);
      expect([part, status, output]).toEqual([
        part,
        1,
        expect.stringMatching(
          /version (2, this program knows 1|3, this program (knows 2|reads 1 to 2)|4, this program (knows 3|reads 1 to 3))\. \S/,
        ),
      ]);
    });
  }
}, 30_000);
