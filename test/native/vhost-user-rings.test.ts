/**
 * The rings against a scripted RAM disk: segments, limits, bad status, lying indices, death in the middle of I/O, resizing.
 */
import { expect, test } from "bun:test";
import type { VhostUserDevice } from "../../plugins/block-device/spdk/device.ts";
import { realWorld } from "../../src/world/index.ts";
import { codeOf, expectBytes, expectCode, inTemporaryFolder, pattern } from "../conformance/support.ts";
import { type BackEndScript, type DiskRequest, FEATURES, ScriptedBackEnd } from "../fixtures/scripted-back-end.ts";
import { builtAddon, openRig, type Rig, type RigOptions } from "../fixtures/vhost-user-rig.ts";

const addon = builtAddon();
const run = test.skipIf(addon === undefined);
const BLOCK = 4096;
const WRITE = 1;
const FLUSH = 4;
const DISCARD = 11;

type Use = (rig: Rig & { readonly backEnd: ScriptedBackEnd }) => Promise<void>;

async function withRig(script: BackEndScript, options: RigOptions, use: Use): Promise<void> {
  await inTemporaryFolder(async (folder) => {
    const backEnd = await ScriptedBackEnd.listen(`${folder}/socket`, script);
    const rig = await openRig(addon!, backEnd.socketPath, options);
    backEnd.serve(rig.connection.memory);
    try {
      await use({ ...rig, backEnd });
    } finally {
      await rig.device.close();
      backEnd.close();
    }
  });
}

/** Resolves when the condition holds; looks in each turn of the event loop. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

const types = (backEnd: ScriptedBackEnd): number[] => backEnd.served.map(({ type }) => type);
const lengths = (request: DiskRequest): number[] => request.segments.map(({ length }) => length);

run("what is written is on the disk, and read back, in pool memory and in any other", () =>
  withRig({}, {}, async ({ device, backEnd }) => {
    const pooled = device.allocate(8 * BLOCK);
    pooled.set(pattern(8 * BLOCK, 1));
    await device.write(BLOCK, pooled, { durable: false });
    expectBytes(backEnd.disk.subarray(BLOCK, 9 * BLOCK), pattern(8 * BLOCK, 1));
    const other = new Uint8Array(8 * BLOCK + 1).subarray(1);
    await device.read(BLOCK, other);
    expectBytes(other, pattern(8 * BLOCK, 1));
    device.release(pooled);
  }),
);

run("pool memory goes to the back-end as it is: no copy", () =>
  withRig({}, {}, async ({ device, backEnd }) => {
    const pooled = device.allocate(2 * BLOCK);
    await device.write(0, pooled, { durable: false });
    expect(backEnd.served[0]!.segments[0]!.byteOffset).toBe(pooled.byteOffset);
    device.release(pooled);
  }),
);

run("size_max and seg_max are honoured", () =>
  withRig({ config: { sizeMax: 10_000, segMax: 3 } }, {}, async ({ device, backEnd }) => {
    const bytes = pattern(16 * BLOCK, 2);
    await device.write(0, bytes, { durable: false });
    expect(backEnd.served.map(lengths)).toEqual([
      [8192, 8192, 8192],
      [8192, 8192, 8192],
      [8192, 8192],
    ]);
    expectBytes(backEnd.disk.subarray(0, bytes.length), bytes);
  }),
);

run("a large transfer is cut into requests of a megabyte", () =>
  withRig({}, {}, async ({ device, backEnd }) => {
    const buffer = device.allocate(2 * 1024 * 1024);
    await device.read(0, buffer);
    expect(backEnd.served.map(lengths)).toEqual([[1024 * 1024], [1024 * 1024]]);
    device.release(buffer);
  }),
);

run("a durable write is followed by a flush; writes together share it", () =>
  withRig({}, {}, async ({ device, backEnd }) => {
    await device.write(0, new Uint8Array(BLOCK), { durable: true });
    expect(types(backEnd)).toEqual([WRITE, FLUSH]);
    backEnd.served.length = 0;
    await Promise.all([1, 2, 3].map((at) => device.write(at * BLOCK, new Uint8Array(BLOCK), { durable: true })));
    expect(types(backEnd).filter((type) => type === WRITE)).toHaveLength(3);
    expect(types(backEnd).filter((type) => type === FLUSH).length).toBeLessThan(3);
    expect(types(backEnd).at(-1)).toBe(FLUSH);
  }),
);

run("the flush of a durable write begins after the write has ended", () =>
  withRig({}, {}, async ({ device, backEnd }) => {
    backEnd.paused = true;
    const first = device.flush();
    const writing = device.write(0, pattern(BLOCK, 3), { durable: true });
    await until(() => backEnd.served.length === 0);
    backEnd.paused = false;
    await Promise.all([first, writing]);
    expect(types(backEnd)).toEqual([FLUSH, WRITE, FLUSH]);
  }),
);

run("no flush is sent where none is offered", () =>
  withRig({ features: FEATURES & ~(1n << 9n) }, {}, async ({ device, backEnd }) => {
    await device.write(0, new Uint8Array(BLOCK), { durable: true });
    await device.flush();
    expect(types(backEnd)).toEqual([WRITE]);
  }),
);

run("a discard is cut as the device wants, sent only where offered, and its errors are only counted", async () => {
  await withRig({ config: { maxDiscardSectors: 16 } }, {}, async ({ device, backEnd }) => {
    await device.discard(0, 4 * BLOCK);
    expect(types(backEnd)).toEqual([DISCARD, DISCARD]);
    backEnd.status = () => 1;
    await device.discard(0, BLOCK);
    expect(device.health()).toMatchObject({ state: "normal", discardErrors: 1 });
  });
  await withRig({ features: FEATURES & ~(1n << 13n) }, {}, async ({ device, backEnd }) => {
    await device.discard(0, BLOCK);
    expect(backEnd.served).toEqual([]);
  });
});

run("a failed read: IO, counted, and the next one succeeds", () =>
  withRig({}, {}, async ({ device, backEnd }) => {
    for (const status of [1, 2, 77, 255]) {
      backEnd.status = () => status;
      await expectCode("IO", () => device.read(0, new Uint8Array(BLOCK)));
    }
    expect(device.health()).toMatchObject({ state: "normal", readErrors: 4 });
    backEnd.status = () => 0;
    await device.read(0, new Uint8Array(BLOCK));
  }),
);

run("one failed part of a large read fails it once, when all parts have ended", () =>
  withRig({ config: { sizeMax: 4096, segMax: 1 } }, {}, async ({ device, backEnd }) => {
    backEnd.status = ({ sector }) => (sector === 8 ? 1 : 0);
    await expectCode("IO", () => device.read(0, new Uint8Array(8 * BLOCK)));
    expect(backEnd.served).toHaveLength(8);
    expect(device.health().readErrors).toBe(1);
  }),
);

run("a failed write makes the device faulty; a failed flush is never forgotten", async () => {
  await withRig({}, {}, async ({ device, backEnd }) => {
    backEnd.status = ({ type }) => (type === WRITE ? 1 : 0);
    await expectCode("IO", () => device.write(0, new Uint8Array(BLOCK), { durable: true }));
    expect(device.health()).toMatchObject({ state: "faulty", writeErrors: 1 });
  });
  await withRig({}, {}, async ({ device, backEnd }) => {
    backEnd.status = ({ type }) => (type === FLUSH ? 1 : 0);
    await expectCode("IO", () => device.flush());
    backEnd.status = () => 0;
    await expectCode("IO", () => device.flush());
    await expectCode("IO", () => device.write(0, new Uint8Array(BLOCK), { durable: true }));
    expect(device.health()).toMatchObject({ state: "faulty", flushErrors: 3 });
  });
});

run("a read-only back-end: READ_ONLY, and reads go on", () =>
  withRig({ features: FEATURES | (1n << 5n) }, {}, async ({ device }) => {
    await expectCode("READ_ONLY", () => device.write(0, new Uint8Array(BLOCK), { durable: false }));
    await device.read(0, new Uint8Array(BLOCK));
  }),
);

run("more requests than slots, and bounced ones than memory, all end", () =>
  withRig({}, { depth: 8, poolPages: 1024 }, async ({ device, backEnd }) => {
    const all = Array.from({ length: 200 }, async (_, index) => {
      const buffer = index % 2 === 0 ? new Uint8Array(64 * BLOCK) : new Uint8Array(BLOCK);
      await device.read(0, buffer);
    });
    await Promise.all(all);
    expect(backEnd.served.length).toBeGreaterThanOrEqual(200);
  }),
);

run("several queues share the work", () =>
  withRig({ queues: 4n, config: { queues: 4 } }, { queues: 4, depth: 8 }, async ({ device, connection, backEnd }) => {
    expect(connection.description.queues).toBe(4);
    const bytes = pattern(32 * BLOCK, 4);
    const each = (index: number): Uint8Array => bytes.subarray(index * BLOCK, (index + 1) * BLOCK);
    await Promise.all(
      Array.from({ length: 32 }, (_, index) => device.write(index * BLOCK, each(index), { durable: false })),
    );
    expectBytes(backEnd.disk.subarray(0, bytes.length), bytes);
  }),
);

run("fewer queues than wanted are taken as offered", () =>
  withRig({ queues: 2n, config: { queues: 2 } }, { queues: 4, depth: 8 }, async ({ device, connection }) => {
    expect(connection.description.queues).toBe(2);
    await Promise.all(Array.from({ length: 40 }, () => device.read(0, new Uint8Array(BLOCK))));
  }),
);

const RING_LIES: readonly [string, (backEnd: ScriptedBackEnd) => void][] = [
  ["an id out of range", (backEnd) => backEnd.pushUsed(0, 70_000)],
  ["an id that is not in flight", (backEnd) => backEnd.pushUsed(0, 3)],
  ["an id twice", (backEnd) => [backEnd.pushUsed(0, firstSlot), backEnd.pushUsed(0, firstSlot)]],
  ["an index that jumps", (backEnd) => backEnd.pushUsed(0, firstSlot, 9)],
  ["an index that goes back", (backEnd) => backEnd.pushUsed(0, firstSlot, -1)],
];
/** The slot that the first request of a connection takes. */
const firstSlot = 0;

for (const [lie, tell] of RING_LIES) {
  run(`${lie}: all in flight fail with IO, once, and so does all that follows`, () =>
    withRig({}, {}, async ({ device, backEnd, connection }) => {
      backEnd.paused = true;
      const reads = [1, 2, 3].map(() => codeOf(() => device.read(0, new Uint8Array(BLOCK))));
      tell(backEnd);
      const codes = await Promise.all(reads);
      // What completed by the rules before the lie may count.
      expect(codes.filter((code) => code === "IO").length).toBeGreaterThanOrEqual(2);
      expect(connection.state).toBe("failed");
      expect(device.health().state).toBe("faulty");
      await expectCode("IO", () => device.read(0, new Uint8Array(BLOCK)));
    }),
  );
}

run("a back-end that dies in mid I/O and comes back: every request ends well, once", () =>
  withRig({}, { depth: 8 }, async ({ device, backEnd, connection }) => {
    backEnd.paused = true;
    const ends: number[] = [];
    const writes = Array.from({ length: 20 }, async (_, index) => {
      await device.write(index * BLOCK, pattern(BLOCK, index), { durable: true });
      ends.push(index);
    });
    // A few are done before the end; those must not be done again.
    backEnd.serveOnce();
    backEnd.hangUp();
    await until(() => connection.state === "lost");
    expect(device.health()).toMatchObject({ state: "unplugged", backSinceNs: Infinity });
    const lostNs = realWorld().clock.monotonicNs();
    await until(() => connection.state === "connected");
    backEnd.paused = false;
    await Promise.all(writes);
    expect(ends.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, index) => index));
    for (let index = 0; index < 20; index += 1) {
      expectBytes(backEnd.disk.subarray(index * BLOCK, (index + 1) * BLOCK), pattern(BLOCK, index));
    }
    expect(backEnd.connections).toBe(2);
    expect(device.health()).toEqual({
      state: "normal",
      readErrors: 0,
      writeErrors: 0,
      flushErrors: 0,
      discardErrors: 0,
      backSinceNs: expect.any(Number),
    });
    const { backSinceNs = 0 } = device.health();
    expect(backSinceNs).toBeGreaterThanOrEqual(lostNs);
    expect(backSinceNs).toBeLessThanOrEqual(realWorld().clock.monotonicNs());
  }),
);

run("what had completed when the back-end died is not done again", () =>
  // Asleep: the completions are there and nobody has looked.
  withRig({}, { pollUs: 0 }, async ({ device, backEnd, connection }) => {
    backEnd.paused = true;
    const writes = Promise.all([0, 1, 2].map((at) => device.write(at * BLOCK, pattern(BLOCK, at), { durable: false })));
    await until(() => backEnd.availableIndex(0) === 3);
    backEnd.serveOnce();
    backEnd.hangUp();
    await writes;
    await until(() => connection.state === "connected");
    expect(types(backEnd)).toEqual([WRITE, WRITE, WRITE]);
    expect(connection.pending).toBe(0);
  }),
);

run("a large bounced transfer is not overtaken for ever by small ones", () =>
  withRig({}, { poolPages: 1024 }, async ({ device, backEnd }) => {
    backEnd.paused = true;
    // Three of these and some pages more fit.
    const large = 256 * 1024;
    const reads = [large, large, large, large, BLOCK].map((size) => device.read(0, new Uint8Array(size)));
    backEnd.paused = false;
    await Promise.all(reads);
    expect(backEnd.served.map((request) => lengths(request)[0])).toEqual([large, large, large, large, BLOCK]);
  }),
);

run("one that stays away: UNAVAILABLE once for each, nothing of it later, and health returns with it", () =>
  withRig({}, { reconnectTimeoutMs: 50, timeoutMs: 200 }, async ({ device, backEnd, connection }) => {
    backEnd.paused = true;
    const write = codeOf(() => device.write(0, pattern(BLOCK, 1), { durable: false }));
    backEnd.script = { answer: () => null };
    backEnd.hangUp();
    expect(await write).toBe("UNAVAILABLE");
    await expectCode("UNAVAILABLE", () => device.read(0, new Uint8Array(BLOCK)));
    expect(device.health().state).toBe("unplugged");
    backEnd.served.length = 0;
    backEnd.script = {};
    backEnd.paused = false;
    await until(() => connection.state === "connected");
    await device.read(0, new Uint8Array(BLOCK));
    expect(types(backEnd)).toEqual([0]);
  }),
);

run("one that comes back as another kind of device is not used", () =>
  withRig({}, {}, async ({ device, backEnd, connection }) => {
    backEnd.script = { config: { blockBytes: 512 } };
    backEnd.hangUp();
    await until(() => connection.state === "failed");
    await expectCode("IO", () => device.read(0, new Uint8Array(BLOCK)));
  }),
);

run("one that comes back smaller: IO beyond its end, reads before it go on", () =>
  withRig({}, {}, async ({ device, backEnd, connection }) => {
    const endByte = device.sizeBytes;
    backEnd.script = { config: { capacitySectors: 1024n } };
    backEnd.hangUp();
    await until(() => connection.state === "lost");
    await until(() => connection.state === "connected");
    expect(device.health().state).toBe("faulty");
    await expectCode("IO", () => device.read(endByte - BLOCK, new Uint8Array(BLOCK)));
    await device.read(0, new Uint8Array(BLOCK));
  }),
);

run("a failed request has the size read again: a device that shrank unannounced is noticed", () =>
  withRig({}, {}, async ({ device, backEnd }) => {
    backEnd.script = { config: { capacitySectors: 1024n } };
    backEnd.status = () => 1;
    await expectCode("IO", () => device.read(0, new Uint8Array(BLOCK)));
    await until(() => device.health().state === "faulty");
    expect(device.health()).toMatchObject({ readErrors: 1, writeErrors: 0 });
  }),
);

run("a message that nobody asked for ends the connection", () =>
  withRig({}, {}, async ({ device, backEnd, connection }) => {
    backEnd.sayUnasked(Buffer.from([1, 2, 3]));
    await until(() => connection.state === "lost");
    await device.read(0, new Uint8Array(BLOCK));
    expect(backEnd.connections).toBe(2);
  }),
);

run("closing: BUSY while something is in flight", () =>
  withRig({}, {}, async ({ device, backEnd }) => {
    backEnd.paused = true;
    const reading = device.read(0, new Uint8Array(BLOCK));
    await expectCode("BUSY", () => device.close());
    backEnd.paused = false;
    await reading;
  }),
);

run("closing while the back-end is away does not wait for it", () =>
  withRig({}, { timeoutMs: 60_000 }, async ({ device, backEnd, connection }: Rig & { backEnd: ScriptedBackEnd }) => {
    backEnd.script = { answer: () => null };
    backEnd.hangUp();
    await until(() => connection.state === "lost");
    await device.close();
    expect(connection.state).toBe("closed");
  }),
);

run("memory that is used up: ordinary memory is given, and works", () =>
  withRig(
    {},
    { poolPages: 512 },
    async ({ device, backEnd }: { device: VhostUserDevice; backEnd: ScriptedBackEnd }) => {
      const held: Uint8Array[] = [];
      for (let index = 0; index < 600; index += 1) held.push(device.allocate(BLOCK));
      const last = held.at(-1)!;
      expect(last.buffer.byteLength).toBe(BLOCK);
      last.set(pattern(BLOCK, 9));
      await device.write(0, last, { durable: false });
      expectBytes(backEnd.disk.subarray(0, BLOCK), pattern(BLOCK, 9));
      for (const buffer of held) device.release(buffer);
      const whole = device.allocate(1024 * 1024);
      expect(whole.buffer.byteLength).toBeGreaterThan(1024 * 1024);
      device.release(whole);
    },
  ),
);
