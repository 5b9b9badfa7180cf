/**
 * The handshake against peers that lie, break off or stay silent: always a typed error within the time limit, never a crash.
 */
import { expect, test } from "bun:test";
import { createServer } from "node:net";
import { realWorld } from "../../src/world/index.ts";
import { inTemporaryFolder } from "../conformance/support.ts";
import {
  type BackEndScript,
  CONFIG,
  configBytes,
  FEATURES,
  PROTOCOL_FEATURES,
  reply,
  Request,
  ScriptedBackEnd,
  u64,
} from "../fixtures/scripted-back-end.ts";
import { builtAddon, openRig } from "../fixtures/vhost-user-rig.ts";

const addon = builtAddon();
const run = test.skipIf(addon === undefined);
const TIMEOUT_MS = 300;

/** What opening a device on a back-end with this script fails with; "opened" when it does not. */
async function outcome(script: BackEndScript): Promise<{ code: unknown; message: string }> {
  return inTemporaryFolder(async (folder) => {
    const backEnd = await ScriptedBackEnd.listen(`${folder}/socket`, script);
    try {
      const { device } = await openRig(addon!, backEnd.socketPath, { timeoutMs: TIMEOUT_MS });
      await device.close();
      return { code: "opened", message: "" };
    } catch (error) {
      return { code: (error as { code?: unknown }).code, message: (error as Error).message };
    } finally {
      backEnd.close();
    }
  });
}

/** A script that answers one request with these bytes. */
const answering = (wanted: number, bytes: Buffer | null): BackEndScript => ({
  answer: (request) => (request === wanted ? bytes : undefined),
});

run("a right back-end is taken, goodbye included", async () => {
  expect(await outcome({})).toEqual({ code: "opened", message: "" });
});

run("without acknowledgements, and with one queue where no number is offered", async () => {
  expect(await outcome({ protocolFeatures: 1n << 9n })).toEqual({ code: "opened", message: "" });
});

const WITHOUT_BLOCK_SIZE = FEATURES & ~(1n << 6n);
const LIES: readonly [string, string, BackEndScript][] = [
  ["no indirect descriptors", "UNSUPPORTED", { features: FEATURES & ~(1n << 28n) }],
  ["no virtio 1", "UNSUPPORTED", { features: FEATURES & ~(1n << 32n) }],
  ["no protocol features", "UNSUPPORTED", { features: FEATURES & ~(1n << 30n) }],
  ["no configuration", "UNSUPPORTED", { protocolFeatures: PROTOCOL_FEATURES & ~(1n << 9n) }],
  ["no queue", "PROTOCOL", { queues: 0n }],
  ["more queues than there can be", "PROTOCOL", { queues: 1n << 40n }],
  ["no queue in its configuration", "PROTOCOL", { config: { queues: 0 }, queues: 1n }],
  ["blocks of 513 bytes", "UNSUPPORTED", { config: { blockBytes: 513 } }],
  ["blocks of 0 bytes", "UNSUPPORTED", { config: { blockBytes: 0 } }],
  ["blocks of 64 KiB", "UNSUPPORTED", { config: { blockBytes: 65_536 } }],
  ["segments smaller than a block", "UNSUPPORTED", { config: { sizeMax: 512 } }],
  ["no segments", "PROTOCOL", { config: { segMax: 0 } }],
  ["more sectors than there can be", "PROTOCOL", { config: { capacitySectors: 1n << 60n }, answer: hugeConfig }],
  ["another answer than asked for", "PROTOCOL", answering(Request.getFeatures, reply(Request.getQueueNum, u64(1n)))],
  ["no reply flag", "PROTOCOL", answering(Request.getFeatures, reply(Request.getFeatures, u64(FEATURES), 1))],
  ["another version", "PROTOCOL", answering(Request.getFeatures, reply(Request.getFeatures, u64(FEATURES), 6))],
  ["too short an answer", "PROTOCOL", answering(Request.getFeatures, reply(Request.getFeatures, Buffer.alloc(4)))],
  ["too long an answer", "PROTOCOL", answering(Request.getFeatures, reply(Request.getFeatures, Buffer.alloc(64)))],
  [
    "a size that it does not send",
    "PROTOCOL",
    answering(Request.getFeatures, reply(Request.getFeatures, u64(1n), 5, 0xffff_ffff)),
  ],
  ["half an answer, then silence", "TIMEOUT", answering(Request.getFeatures, Buffer.from([1, 0, 0, 0]))],
  ["an empty configuration", "PROTOCOL", answering(Request.getConfig, reply(Request.getConfig, Buffer.alloc(0)))],
  [
    "another part of its configuration",
    "PROTOCOL",
    answering(Request.getConfig, reply(Request.getConfig, Buffer.concat([Buffer.from([4]), Buffer.alloc(71)]))),
  ],
  ["refused memory", "UNSUPPORTED", answering(Request.setMemTable, reply(Request.setMemTable, u64(1n)))],
  ["refused ring", "UNSUPPORTED", answering(Request.setVringAddr, reply(Request.setVringAddr, u64(22n)))],
];

/** The RAM disk behind the script stays small: only the client is told. */
function hugeConfig(request: number, payload: Buffer): Buffer | undefined {
  if (request !== Request.getConfig) return undefined;
  const config = configBytes({ ...CONFIG, capacitySectors: 1n << 60n });
  return reply(Request.getConfig, Buffer.concat([payload.subarray(0, 12), config]));
}

for (const [lie, code, script] of LIES) {
  run(`${lie}: ${code}`, async () => {
    const { config, ...rest } = script;
    const told =
      config?.capacitySectors === undefined ? { ...rest, ...(config === undefined ? {} : { config }) } : rest;
    const result = await outcome(told);
    expect(result.code).toBe(code);
    expect(result.message).toMatch(/^Cannot use vhost-user back-end ".+": .+\. .+\.$/);
  });
}

run("blocks of 512 where no block size is offered, whatever the configuration says", async () => {
  expect((await outcome({ features: WITHOUT_BLOCK_SIZE, config: { blockBytes: 7 } })).code).toBe("opened");
});

const EVERY_MESSAGE = [1, 15, 16, 3, 17, 2, 24, 5, 8, 10, 9, 13, 12, 18];

run("silence at any message: TIMEOUT", async () => {
  for (const message of [1, 17, 24, 5, 18]) {
    const { code } = await outcome(answering(message, null));
    expect({ message, code }).toEqual({ message, code: "TIMEOUT" });
  }
});

run("hanging up at any message: UNAVAILABLE", async () => {
  for (const message of EVERY_MESSAGE) {
    const hangUp: BackEndScript = {
      answer(request, _payload, socket) {
        if (request !== message) return undefined;
        socket.destroy();
        return null;
      },
    };
    const { code } = await outcome(hangUp);
    expect({ message, code }).toEqual({ message, code: "UNAVAILABLE" });
  }
});

run("half of an answer, then hanging up: UNAVAILABLE", async () => {
  const result = await outcome({
    answer(request, _payload, socket) {
      if (request !== Request.getConfig) return undefined;
      socket.write(reply(Request.getConfig, Buffer.alloc(72)).subarray(0, 40), () => socket.destroy());
      return null;
    },
  });
  expect(result.code).toBe("UNAVAILABLE");
});

run("random bytes for answers never do more than fail", async () => {
  const { random } = realWorld();
  for (let round = 0; round < 40; round += 1) {
    const bytes = Buffer.alloc(1 + Math.floor(random.next() * 200));
    random.fill(bytes);
    const at = [1, 15, 17, 24, 5][round % 5]!;
    // Half of them with a right header, so that the payload is looked at.
    const size = at === Request.getConfig ? 72 : 8;
    const answer = round % 2 === 0 ? bytes : reply(at, Buffer.concat([bytes, Buffer.alloc(size)]).subarray(0, size));
    const { code } = await outcome(answering(at, answer));
    expect(["opened", "PROTOCOL", "UNSUPPORTED", "TIMEOUT", "UNAVAILABLE"]).toContain(code as string);
  }
});

run("nobody there, a file, a path that is too long: typed errors", () =>
  inTemporaryFolder(async (folder) => {
    await Bun.write(`${folder}/file`, "no socket");
    const open = (path: string) => openRig(addon!, path, { timeoutMs: TIMEOUT_MS });
    await expect(open(`${folder}/nothing`)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await expect(open(`${folder}/file`)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await expect(open(`${folder}/${"x".repeat(120)}`)).rejects.toMatchObject({ code: "UNSUPPORTED" });
  }),
);

run("a back-end that comes a little later is waited for", () =>
  inTemporaryFolder(async (folder) => {
    const opening = openRig(addon!, `${folder}/socket`, { openTimeoutMs: 5_000 });
    // Mostly after the first try has failed; it must work in either order.
    await new Promise((resolve) => setTimeout(resolve, 30));
    const backEnd = await ScriptedBackEnd.listen(`${folder}/socket`);
    const { device } = await opening;
    await device.close();
    backEnd.close();
  }),
);

run("one that accepts and says nothing, as a back-end with another client: TIMEOUT", () =>
  inTemporaryFolder(async (folder) => {
    const server = createServer(() => {});
    await new Promise<void>((resolve) => server.listen(`${folder}/socket`, resolve));
    const opening = openRig(addon!, `${folder}/socket`, { timeoutMs: 100 });
    await expect(opening).rejects.toMatchObject({ code: "TIMEOUT" });
    server.close();
  }),
);

run("wrong arguments of the addon throw", () => {
  const settings = { socketPath: "/s", queues: 1, depth: 16, timeoutMs: 100, poolPages: 2048, hugePages: 0 } as const;
  const listener = (): void => {};
  for (const wrong of [{ queues: 0 }, { queues: 9 }, { depth: 15 }, { depth: 512 }, { poolPages: 1 }]) {
    expect(() => addon!.create({ ...settings, ...wrong }, listener)).toThrow();
  }
  expect(() => addon!.arm({} as never)).toThrow();
  const { handle, exchange } = addon!.create(settings, listener);
  expect(exchange(0, 0)).toBe(0);
  expect(exchange(1, 0)).toBe(-2);
  expect(exchange(0, 2_000_000)).toBe(-2);
  addon!.destroy(handle);
  expect(() => exchange(0, 0)).toThrow();
  expect(() => addon!.connect(handle)).toThrow();
  expect(() => addon!.destroy(handle)).toThrow();
});
