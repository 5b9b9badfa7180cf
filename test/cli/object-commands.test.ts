/** `daos object ...` against a fake system: files in and out in any size, and the keys inside. */
import { expect, test } from "bun:test";
import { byteStringOfText } from "../../src/base/bytes.ts";
import { DaosError } from "../../src/base/errors.ts";
import { objectClassByName } from "../../src/base/object-class.ts";
import { formatObjectId, objectId } from "../../src/base/object-id.ts";
import { type Harness, prepared } from "./harness.ts";

const CONTENT = Uint8Array.from({ length: 10_000 }, (_, index) => (index * 31) & 0xff);
const NEW_OID = "0d01ffff00000000.0000000000000002";
const PLAIN = objectId("MULTI_HASHED", objectClassByName("S1"), 0, 7n);

async function stored(): Promise<Harness> {
  const harness = await prepared();
  harness.files.contents.set("in.bin", CONTENT);
  await harness.run("object put tank bulk in.bin");
  return harness;
}

function bulk(harness: Harness) {
  return harness.system.pools.get("tank")!.containers.get("bulk")!;
}

test("object put prints the id alone; get gives the bytes back", async () => {
  const harness = await prepared();
  harness.files.contents.set("in.bin", CONTENT);
  expect(await harness.run("object put tank bulk in.bin")).toMatchObject({
    status: 0,
    stdout: `${NEW_OID}\n`,
    stderr: "",
  });
  expect(Buffer.compare((await harness.run(`object get tank bulk ${NEW_OID}`)).stdoutBytes, CONTENT)).toBe(0);
  expect((await harness.run(`object get tank bulk ${NEW_OID} -o out.bin`)).stdout).toBe("");
  expect(Buffer.compare(harness.files.contents.get("out.bin")!, CONTENT)).toBe(0);
});

test("object put and get in JSON", async () => {
  const harness = await prepared();
  harness.files.contents.set("in.bin", CONTENT);
  expect((await harness.json("object put tank bulk in.bin --class S4")).value).toEqual({
    objectId: "0d01000400000000.0000000000000002",
    class: "S4",
    sizeBytes: 10_000,
  });
  expect((await harness.json("object get tank bulk d01000400000000.2 --offset 9000 -o out.bin")).value).toEqual({
    objectId: "0d01000400000000.0000000000000002",
    file: "out.bin",
    offset: 9000,
    sizeBytes: 1000,
  });
  expect(Buffer.compare(harness.files.contents.get("out.bin")!, CONTENT.subarray(9000))).toBe(0);
});

test("object put from standard input, of no known length", async () => {
  const harness = await prepared();
  harness.stdin = CONTENT;
  await harness.run("object put tank bulk -");
  expect(Buffer.compare((await harness.run(`object get tank bulk ${NEW_OID} -o -`)).stdoutBytes, CONTENT)).toBe(0);
});

test.each([
  ["--offset 0 --length 1", 0, 1],
  ["--offset 9999", 9999, 10_000],
  ["--offset 1KiB --length 2KiB", 1024, 3072],
  ["--length 1TiB", 0, 10_000],
  ["--offset 10000", 10_000, 10_000],
  ["--offset 99999 --length 5", 10_000, 10_000],
  ["--length 0", 0, 0],
])("object get %s", async (flags, from, to) => {
  const harness = await stored();
  const { status, stdoutBytes } = await harness.run(`object get tank bulk ${NEW_OID} ${flags}`);
  expect(status).toBe(0);
  expect(Buffer.compare(stdoutBytes, CONTENT.subarray(from, to))).toBe(0);
});

test("object put --oid replaces the whole content", async () => {
  const harness = await stored();
  harness.files.contents.set("short", Buffer.from("short"));
  expect((await harness.run(`object put tank bulk short --oid ${NEW_OID}`)).stdout).toBe(`${NEW_OID}\n`);
  expect((await harness.run(`object get tank bulk ${NEW_OID}`)).stdout).toBe("short");
});

test("an empty file is an object of no bytes; an id that nobody has is an error", async () => {
  const harness = await prepared();
  harness.files.contents.set("empty", new Uint8Array());
  await harness.run("object put tank bulk empty");
  expect(await harness.run(`object get tank bulk ${NEW_OID}`)).toMatchObject({ status: 0, stdout: "" });
  for (const line of ["object get", "object query"]) {
    const { status, stderr } = await harness.run(`${line} tank bulk d01ffff00000000.99`);
    expect(status).toBe(1);
    expect(stderr).toContain("object 0d01ffff00000000.0000000000000099: it is not there.");
  }
});

test("a put that fails leaves no new object, but never removes one that was there", async () => {
  const harness = await stored();
  const failing = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from("begin");
    throw new DaosError("IO", "Cannot read standard input: broken. Try again.");
  };
  harness.stdin = failing();
  expect(await harness.run("object put tank bulk -")).toMatchObject({ status: 1, stdout: "" });
  expect([...bulk(harness).contents.keys()].map(formatObjectId)).toEqual([NEW_OID]);
  harness.stdin = failing();
  expect((await harness.run(`object put tank bulk - --oid ${NEW_OID}`)).status).toBe(1);
  expect(bulk(harness).contents.size).toBe(1);
  expect((await harness.run("object put tank bulk nope")).stderr).toContain("no such file");
});

test("a get that fails leaves no half file", async () => {
  const harness = await stored();
  harness.files.fullAfterBytes = 2500;
  const { status, stderr } = await harness.run(`object get tank bulk ${NEW_OID} -o out.bin`);
  expect(status).toBe(1);
  expect(stderr).toContain("the disk is full");
  expect(harness.files.contents.has("out.bin")).toBe(false);
  expect(harness.files.aborted).toBe(1);
});

test("a get of an object that is cut meanwhile fails instead of giving less", async () => {
  const harness = await stored();
  const container = bulk(harness);
  const array = container.array.bind(container);
  container.array = (oid) => Object.assign(array(oid), { size: async () => 20_000 });
  const { status, stderr } = await harness.run(`object get tank bulk ${NEW_OID} -o out.bin`);
  expect(status).toBe(1);
  expect(stderr).toContain("10000 of 20000 bytes came");
  expect(harness.files.contents.has("out.bin")).toBe(false);
});

test("arrays of larger records are addressed in bytes, by whole records", async () => {
  const harness = await stored();
  const container = bulk(harness);
  const array = container.array.bind(container);
  container.array = (oid) => {
    const bytes = array(oid);
    return Object.assign(bytes, {
      recordBytes: 8,
      size: async () => 1250,
      readStream: ({ offset = 0, length = 0 }) => new Blob([CONTENT.slice(offset * 8, (offset + length) * 8)]).stream(),
    });
  };
  const { stdoutBytes } = await harness.run(`object get tank bulk ${NEW_OID} --offset 16 --length 80`);
  expect(Buffer.compare(stdoutBytes, CONTENT.subarray(16, 96))).toBe(0);
  const { status, stderr } = await harness.run(`object get tank bulk ${NEW_OID} --offset 12`);
  expect({ status, stderr }).toEqual({
    status: 2,
    stderr: "daos: Cannot use --offset 12: the object's records have 8 bytes. Use a multiple of that.\n",
  });
  const { value } = await harness.json(`object query tank bulk ${NEW_OID}`);
  expect(value).toMatchObject({ sizeBytes: 10_000, recordBytes: 8, chunkBytes: 1_048_576 });
});

test("canceling stops a get between chunks", async () => {
  const harness = await stored();
  const write = harness.stdout.write.bind(harness.stdout);
  harness.stdout.write = async (bytes) => {
    harness.abort.abort();
    await write(bytes);
  };
  const { status, stdoutBytes, stderr } = await harness.run(`object get tank bulk ${NEW_OID}`);
  expect(status).toBe(1);
  expect(stderr).toContain("canceled");
  expect(stdoutBytes.length).toBe(1000);
});

test("object get at a snapshot", async () => {
  const harness = await stored();
  await harness.run("container snapshot create tank bulk monday");
  harness.files.contents.set("new", Buffer.from("new"));
  await harness.run(`object put tank bulk new --oid ${NEW_OID}`);
  expect(
    Buffer.compare((await harness.run(`object get tank bulk ${NEW_OID} --snapshot monday`)).stdoutBytes, CONTENT),
  ).toBe(0);
  expect((await harness.json(`object query tank bulk ${NEW_OID} --snapshot monday`)).value.sizeBytes).toBe(10_000);
  expect((await harness.json(`object query tank bulk ${NEW_OID}`)).value.sizeBytes).toBe(3);
});

test("object list and query", async () => {
  const harness = await stored();
  bulk(harness).store(PLAIN, "row", "column", Buffer.from("value"));
  expect((await harness.run("object list tank bulk")).stdout).toBe(
    `0001000100000000.0000000000000007  MULTI_HASHED   S1\n${NEW_OID}  ARRAY_BYTE     SX\n`,
  );
  expect((await harness.json("object list tank bulk")).value[1]).toEqual({
    objectId: NEW_OID,
    type: "ARRAY_BYTE",
    class: "SX",
  });
  expect((await harness.run(`object query tank bulk ${NEW_OID}`)).stdout).toBe(
    `Object  ${NEW_OID}\nType    ARRAY_BYTE\nClass   SX\nSize    9.77 KiB (10000 bytes)\nChunk   1 MiB\n`,
  );
  expect((await harness.json(`object query tank bulk ${formatObjectId(PLAIN)}`)).value).toEqual({
    objectId: formatObjectId(PLAIN),
    type: "MULTI_HASHED",
    class: "S1",
    sizeBytes: null,
    recordBytes: null,
    chunkBytes: null,
  });
});

test("dkeys and akeys: numbers for arrays, text for others", async () => {
  const harness = await stored();
  bulk(harness).store(PLAIN, "row", byteStringOfText("größe"), Buffer.from("value"));
  expect((await harness.run(`object dkeys tank bulk ${NEW_OID}`)).stdout).toBe("1\n");
  expect((await harness.json(`object dkeys tank bulk ${NEW_OID}`)).value).toEqual([
    { dkey: "1", dkeyEncoding: "uint64" },
  ]);
  expect((await harness.run(`object akeys tank bulk ${NEW_OID} 1`)).stdout).toBe("0\n");
  expect((await harness.run(`object akeys tank bulk ${NEW_OID} 2`)).stdout).toBe("");
  expect((await harness.json(`object akeys tank bulk ${NEW_OID} 0000000000000001 --encoding hex`)).value).toEqual([
    { akey: "0", akeyEncoding: "utf8" },
  ]);
  expect((await harness.run(`object akeys tank bulk ${formatObjectId(PLAIN)} row`)).stdout).toBe("größe\n");
});

test("punch an akey, a dkey, an object", async () => {
  const harness = await stored();
  const id = formatObjectId(PLAIN);
  const container = bulk(harness);
  container.store(PLAIN, "row", "a", Buffer.from("1"));
  container.store(PLAIN, "row", "b", Buffer.from("2"));
  container.store(PLAIN, "other", "c", Buffer.from("3"));
  expect(await harness.run(`object punch tank bulk ${id} row a`)).toMatchObject({ status: 0, stdout: "" });
  expect((await harness.run(`object akeys tank bulk ${id} row`)).stdout).toBe("b\n");
  await harness.run(`object punch tank bulk ${id} row`);
  expect((await harness.run(`object dkeys tank bulk ${id}`)).stdout).toBe("other\n");
  expect((await harness.json(`object punch tank bulk ${id}`)).value).toEqual({ objectId: id, punched: true });
  expect((await harness.run(`object query tank bulk ${id}`)).status).toBe(1);
});
