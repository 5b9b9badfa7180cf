/** Peers of another release: both sides say so, at once, with what to do. Engines among each other: test/control/engines.test.ts. */
import { afterEach, expect, test } from "bun:test";
import { crc32 } from "../../src/base/checksum.ts";
import { DaosError } from "../../src/base/errors.ts";
import type { Listener, Socket } from "../../src/contracts/world.ts";
import { connect } from "../../src/client/index.ts";
import { encodeCbor } from "../../src/format/cbor.ts";
import { encodeErrorReply } from "../../src/format/error-reply.ts";
import { FrameFlag } from "../../src/format/frame.ts";
import { Opcode } from "../../src/format/operations.ts";
import { answerHello } from "../../src/rpc/hello.ts";
import { frameBytes } from "../rpc/harness.ts";
import { FakeEngine, HOST } from "./fake-engine.ts";

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

const HELLO = { opcode: Opcode.hello, requestId: 1 };
const CHOSEN = (role: string): Buffer =>
  frameBytes({ ...HELLO, flags: FrameFlag.response }, encodeCbor({ protocol: 2, software: "daos 9", role }));
const REFUSED = frameBytes(
  { ...HELLO, flags: FrameFlag.response | FrameFlag.error },
  encodeErrorReply(
    new DaosError(
      "VERSION",
      "Cannot greet client: it speaks protocol versions 1 to 1, this server 2. Use a newer one.",
    ),
  ),
);
/** Another version of frames altogether: not ours, damaged in that place. */
const FOREIGN = Buffer.from(CHOSEN("management"));
FOREIGN[4] = 2;
FOREIGN.writeUInt32LE(crc32(FOREIGN.subarray(0, 36)), 36);

/** Answers whatever comes first with these bytes. */
function serverOf(engine: FakeEngine, answer: Buffer, port = 0): Listener {
  const listener = engine.world.network.listen(HOST, port, (socket: Socket) => ({
    received: () => void socket.write(answer),
    drain: () => {},
    closed: () => {},
  }));
  cleanups.push(() => listener.close());
  return listener;
}

async function failureOf(promise: Promise<unknown>): Promise<DaosError> {
  const failure: unknown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (failure instanceof DaosError) return failure;
  throw new Error(`no DaosError: ${String(failure)}`);
}

test("a client that meets a newer server is told at once which versions there are, and what to do", async () => {
  const engine = new FakeEngine(3);
  cleanups.push(() => engine.close());
  for (const [answer, words] of [
    [CHOSEN("management"), /chose protocol version 2, this client speaks 1\. Use a client of the server's release\./],
    [REFUSED, /protocol versions 1 to 1, this server 2\./],
    [FOREIGN, /version 2/],
  ] as const) {
    const { port } = serverOf(engine, answer);
    const startNs = engine.world.clock.monotonicNs();
    const failure = await failureOf(connect(engine.world, { system: `${HOST}:${port}` }));
    expect([failure.code, failure.retry]).toEqual(["VERSION", false]);
    expect(failure.message).toMatch(words);
    expect(engine.world.clock.monotonicNs() - startNs).toBeLessThan(1e9);
  }
});

test("a server that meets an older or newer client names both versions", () => {
  for (const range of [
    { min: 2, max: 9 },
    { min: 0, max: 0 },
  ]) {
    let failure: unknown;
    try {
      answerHello(encodeCbor({ protocol: range, peer: "daos" }), "target", "daos");
    } catch (error) {
      failure = error;
    }
    expect(failure).toMatchObject({
      code: "VERSION",
      message:
        `Cannot greet client: it speaks protocol versions ${range.min} to ${range.max}, this server 1. ` +
        "Use a client of the server's release.",
    });
  }
});

test("one engine of a system that speaks another version: what lies there fails with VERSION at once, the rest goes on", async () => {
  const engine = new FakeEngine(11, { targets: 2 });
  cleanups.push(() => engine.close());
  const system = await engine.connect();
  cleanups.push(() => system.close());
  const container = await system.pool("tank").openContainer("box");
  const kv = container.kv();
  const { port } = engine.listeners[1]!;
  await engine.listeners[1]!.close();
  serverOf(engine, CHOSEN("target"), port);
  const startNs = engine.world.clock.monotonicNs();
  const codes = new Map<string, number>();
  for (let index = 0; index < 20; index += 1) {
    const code = await kv.put(`k${index}`, Buffer.from("v")).then(
      () => "ok",
      (error: DaosError) => error.code,
    );
    codes.set(code, (codes.get(code) ?? 0) + 1);
  }
  expect([...codes.keys()].toSorted()).toEqual(["VERSION", "ok"]);
  expect(engine.world.clock.monotonicNs() - startNs).toBeLessThan(2e9);
});
