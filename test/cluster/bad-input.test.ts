/**
 * What admins and applications ask for that cannot be, on a real system of three engines: refused by the command line and
 * by the library alike, with the same words, and nothing is made. And a peer of another release.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { crc32 } from "../../src/base/checksum.ts";
import { encodeCbor } from "../../src/format/cbor.ts";
import { emptyFrameHeader, encodeFrameHeader, FRAME_HEADER_BYTES, FrameFlag } from "../../src/format/frame.ts";
import { Opcode } from "../../src/format/operations.ts";
import { connect, type Container, DaosError, type ErrorCode, objectClassByName, objectId } from "../../src/library.ts";
import { refusedStart, runDaos, temporaryFolder } from "../engine/engine-rig.ts";
import { SystemProcess } from "./system-process.ts";

let rig: SystemProcess;
let container: Container;

beforeAll(async () => {
  rig = await SystemProcess.start(3);
  await rig.system.createPool({ label: "tank", sizeBytes: 256 << 20 });
  const properties = { oclass: "EC_2P1GX" };
  await rig.system.pool("tank").createContainer({ label: "coded", type: "object", properties });
  container = await rig.system.pool("tank").openContainer("coded");
}, 30_000);
afterAll(() => rig.remove());

/** The message of a failure with this code. */
async function refusalOf(code: ErrorCode, run: () => unknown): Promise<string> {
  try {
    await run();
  } catch (error) {
    if (!(error instanceof DaosError)) throw error;
    expect(error.code).toBe(code);
    return error.message;
  }
  throw new Error("it was not refused");
}

/** What both say of a container that cannot be made. */
async function expectRefused(properties: Readonly<Record<string, string>>, words: string): Promise<void> {
  const made = { label: "bad", type: "object" as const, properties };
  const message = await refusalOf("INVALID_ARGUMENT", () => rig.system.pool("tank").createContainer(made));
  expect(message).toContain(words);
  const { oclass, ...others }: Readonly<Record<string, string>> = properties;
  const given = Object.entries(others).map(([name, value]) => `${name}:${value}`);
  const classFlag = oclass === undefined ? [] : ["--class", oclass];
  const named = given.length === 0 ? [] : ["--properties", given.join(",")];
  const told = await rig.daos("container", "create", "tank", "bad", ...classFlag, ...named);
  expect(told).toEqual({ status: 2, output: `daos: ${message}\n` });
}

test("a class that the pool cannot hold", async () => {
  await expectRefused(
    { oclass: "RP_4GX" },
    "RP_4 needs 4 fault domains, the pool has 3 (its engines). Add engines, or use RP_3.",
  );
  await expectRefused(
    { oclass: "EC_4P2GX" },
    "EC_4P2 needs 6 fault domains, the pool has 3 (its engines). Add engines, or use EC_2P1.",
  );
  await expectRefused({ rd_fac: "3" }, "RP_4 needs 4 fault domains, the pool has 3");
  const id = objectId("ARRAY_BYTE", objectClassByName("EC_4P2G1"), 0, 1n);
  for (const use of [
    () => container.newObjectId("ARRAY_BYTE", "EC_4P2G1"),
    () => container.object(id).update("d", "a", Buffer.from("x")),
    () => container.array(id).read(0, 1),
  ]) {
    expect(await refusalOf("INVALID_ARGUMENT", use)).toContain("EC_4P2 needs 6 fault domains, the pool has 3");
  }
  const put = await rig.daos("object", "put", "tank", "coded", "package.json", "--class", "RP_5G1");
  expect(put.status).not.toBe(0);
  expect(put.output).toContain("RP_5 needs 5 fault domains, the pool has 3 (its engines). Add engines, or use RP_3.");
}, 60_000);

test("erasure codes with impossible numbers, and unknown classes", async () => {
  for (const [oclass, words] of [
    ["EC_0P1GX", "1 parity shards are more than its 0 data shards"],
    ["EC_3P5GX", "5 parity shards are more than its 3 data shards"],
    ["EC_4P0GX", "there is no code of 4 data and 0 parity shards. Use one of EC_2P1"],
    ["RP_1GX", "that many copies are not kept. Use RP_2 to RP_6."],
    ["EC_2P1", "it names no groups. Use EC_2P1GX"],
    ["fastest", "not known. Use S<groups>"],
  ] as const) {
    await expectRefused({ oclass }, words);
  }
}, 60_000);

test("cells and chunks that do not fit each other, a stripe that is too large, too little redundancy", async () => {
  for (const size of ["6000", "2MiB", "0"]) {
    await expectRefused({ oclass: "EC_2P1GX", ec_cell_sz: size }, "not a multiple of 4 KiB, 4 KiB to 1 MiB");
  }
  await expectRefused(
    { oclass: "EC_2P1GX", chunk_size: "64KiB" },
    "chunks of 64 KiB are no whole number of its stripes of 256 KiB. Use a chunk_size of 256 KiB",
  );
  await expectRefused({ oclass: "RP_2GX", rd_fac: "2" }, "it survives 1 faults, rd_fac asks for 2. Use RP_3GX.");
  const wide = objectClassByName("EC_8P2GX");
  expect(await refusalOf("INVALID_ARGUMENT", () => container.newObjectId("ARRAY", wide))).toContain("EC_8P2 needs 10");
  const labels = (await rig.system.pool("tank").listContainers()).map(({ label }) => label);
  expect(labels).toEqual(["coded"]);
}, 60_000);

test("a server of another release: the command line and the library say which versions there are, and what to do", async () => {
  const server = newerServer();
  try {
    const address = await listening(server);
    const words = "it chose protocol version 2, this client speaks 1. Use a client of the server's release.";
    expect(await refusalOf("VERSION", () => connect({ system: address }))).toBe(`Cannot talk to server: ${words}`);
    const told = await runDaos(["pool", "list", "--system", address]);
    expect(told).toEqual({ status: 1, output: `daos: Cannot talk to server: ${words}\n` });
  } finally {
    server.close();
  }
}, 30_000);

test("an engine does not join a system of another release", async () => {
  const storage = temporaryFolder();
  const server = newerServer();
  try {
    const address = await listening(server);
    const joined = await refusedStart(storage, "--join", address);
    expect(joined.status).toBe(1);
    expect(joined.output).toContain("it chose protocol version 2, this client speaks 1.");
  } finally {
    server.close();
    rmSync(storage, { recursive: true, force: true });
  }
}, 30_000);

/** Greets as a program of the next protocol version. */
function newerServer(): Server {
  const args = encodeCbor({ protocol: 2, software: "daos 9", role: "management" });
  const reply = Buffer.concat([Buffer.alloc(FRAME_HEADER_BYTES), args]);
  encodeFrameHeader(reply, 0, {
    ...emptyFrameHeader(),
    opcode: Opcode.hello,
    requestId: 1,
    flags: FrameFlag.response,
    argumentsLength: args.length,
    bodyChecksum: crc32(args),
  });
  return createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => socket.write(reply));
  });
}

function listening(server: Server): Promise<string> {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve(`127.0.0.1:${(server.address() as { port: number }).port}`));
  });
}
