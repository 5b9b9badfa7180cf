/** Commands to an engine from control planes of several terms. */
import { expect, test } from "bun:test";
import { EngineDesk } from "../../src/engine/engine-desk.ts";
import { sealMessage } from "../../src/engine/engine-messages.ts";
import { EngineService } from "../../src/engine/engine-service.ts";
import type { Targets } from "../../src/engine/targets.ts";
import { decodeCbor } from "../../src/format/cbor.ts";
import { Opcode } from "../../src/format/operations.ts";
import type { RpcRequest } from "../../src/rpc/request.ts";
import { hmacSha256 } from "../../src/world/hmac.ts";
import { realWorld } from "../../src/world/index.ts";
import { expectCode } from "../conformance/support.ts";

const { clock } = realWorld();
const KEY = new Uint8Array(32).fill(7);

function desk(): (body: object, opcode?: number) => Promise<unknown> {
  const engine = new EngineService({
    targets: {} as Targets,
    incarnation: 5,
    self: { engine: "", system: "" },
    devices: () => [],
    pledge: () => false,
    stop: () => {},
  });
  const control = { admission: undefined, address: undefined };
  const made = new EngineDesk({ engine, key: KEY, hmac: hmacSha256, clock, control, allowsStrangers: false });
  return async (body, opcode = Opcode.engineCall) => {
    const sealed = sealMessage(opcode, { ...body, sentAtMs: clock.wallMs() }, hmacSha256, KEY);
    return decodeCbor(await made.run({ opcode, ...sealed, connection: {} } as unknown as RpcRequest));
  };
}

test("EngineDesk: after a call of one term those of earlier terms are refused, and those without", async () => {
  const call = desk();
  const ping = { name: "ping", value: {} };
  expect(await call(ping)).toEqual({ incarnation: 5 });
  expect(await call({ ...ping, term: 7 })).toEqual({ incarnation: 5 });
  await expectCode("UNAVAILABLE", () => call({ ...ping, term: 6 }));
  await expectCode("UNAVAILABLE", () => call(ping));
  expect(await call({ ...ping, term: 9 })).toEqual({ incarnation: 5 });
  await expectCode("UNAVAILABLE", () => call({ ...ping, term: 7 }));
});

test("EngineDesk: while nobody is known to lead, a hello is told so", async () => {
  await expectCode("UNAVAILABLE", () => desk()({ version: 2 }, Opcode.engineHello));
});
