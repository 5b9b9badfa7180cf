/** An engine that greets a control plane of the version before, which knows no ranges, and one of the version after. */
import { afterEach, expect, test } from "bun:test";
import { HybridLogicalClock } from "../../src/base/epoch.ts";
import { DaosError } from "../../src/base/errors.ts";
import { openMessage } from "../../src/engine/engine-messages.ts";
import { sayHello } from "../../src/engine/system-member.ts";
import { encodeCbor } from "../../src/format/cbor.ts";
import { ENGINE_PROTOCOL_VERSION } from "../../src/format/engine-version.ts";
import { RpcServer } from "../../src/rpc/server.ts";
import { hmacSha256 } from "../../src/world/hmac.ts";
import { realWorld } from "../../src/world/index.ts";
import { expectCode } from "../conformance/support.ts";

const world = realWorld();
const { network, timers, clock } = world;
const epochs = new HybridLogicalClock(() => clock.wallMs());
const KEY = new Uint8Array(32).fill(7);
const PEERS = { network, timers, clock, epochs, hmac: hmacSha256, software: "test" };
const FACTS = { engine: "99999999-2222-4333-8444-555555555555", domain: "/", targets: 1 };
const SYSTEM = { id: FACTS.engine, name: "daos", createdAtMs: 1, capabilityKey: "ab".repeat(32) };

const servers: RpcServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

interface Hello {
  readonly version: number;
  readonly oldest?: number;
}

/** A control plane; `answer` throws for what it refuses. Returns its port, and the versions that it was asked in. */
function controlPlane(answer: (hello: Hello) => object): { port: number; asked: number[] } {
  const asked: number[] = [];
  const server = new RpcServer({
    network,
    timers,
    clock: epochs,
    host: "127.0.0.1",
    port: 0,
    software: "other",
    role: "management",
    handler: {
      handle(request, reply) {
        const { args, payload, opcode } = request;
        const { body } = openMessage(opcode, { args, payload }, hmacSha256, KEY, clock.wallMs());
        asked.push((body as Hello).version);
        reply.send(new Uint8Array(0), encodeCbor(answer(body as Hello)));
      },
      connectionClosed: () => {},
    },
  });
  servers.push(server);
  return { port: server.port, asked };
}

const greet = (port: number) => sayHello({ host: "127.0.0.1", port }, FACTS, KEY, PEERS);

function refuse(): never {
  throw new DaosError("VERSION", "Cannot join engine: it speaks another version. Run the same release everywhere.");
}

test("a control plane of the version before is asked again in its own", async () => {
  const older = ENGINE_PROTOCOL_VERSION - 1;
  const { port, asked } = controlPlane(({ version }) => (version === older ? { rank: 3, system: SYSTEM } : refuse()));
  const { reply } = await greet(port);
  expect(asked).toEqual([ENGINE_PROTOCOL_VERSION, older]);
  expect(reply.rank).toBe(3);
  expect(reply.version).toBeUndefined();
});

test("a control plane of the version after agrees at once", async () => {
  const { port, asked } = controlPlane(({ version }) => ({ rank: 3, version, system: SYSTEM, isNew: true }));
  expect((await greet(port)).reply.version).toBe(ENGINE_PROTOCOL_VERSION);
  expect(asked).toEqual([ENGINE_PROTOCOL_VERSION]);
});

test("one that speaks neither refuses, and that is told", async () => {
  const { port, asked } = controlPlane(refuse);
  await expectCode("VERSION", () => greet(port));
  expect(asked).toEqual([ENGINE_PROTOCOL_VERSION, ENGINE_PROTOCOL_VERSION - 1]);
});
