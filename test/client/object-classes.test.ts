/** Classes that cannot be, or that the pool cannot hold: refused by the library before anything is sent. */
import { afterEach, expect, test } from "bun:test";
import { type DaosError, hasCode } from "../../src/base/errors.ts";
import { MAX_RETRY_WINDOW_MS } from "../../src/base/limits.ts";
import { objectClassByName } from "../../src/base/object-class.ts";
import { objectId } from "../../src/base/object-id.ts";
import type { Container } from "../../src/client/index.ts";
import { Container as OpenContainer } from "../../src/client/container.ts";
import { Placement } from "../../src/placement/placement.ts";
import { poolMap } from "../placement/pool-maps.ts";
import { codeOf, FakeEngine } from "./fake-engine.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function opened(): Promise<Container> {
  const engine = new FakeEngine(7, { type: "object", targets: 4 });
  const system = await engine.connect();
  closing.push(async () => {
    await system.close();
    await engine.close();
  });
  return system.pool("tank").openContainer("box");
}

/** A container of a pool of so many engines. */
function containerOf(engines: number, properties: Record<string, unknown> = {}): Container {
  const session = {
    placement: new Placement(poolMap([engines], 2)),
    container: { label: "box", type: "object", properties: { oclass: "SX", rd_fac: 1, ...properties } },
    world: { random: { fill: (bytes: Uint8Array) => bytes.fill(7) } },
  };
  return new OpenContainer({ session, calls: undefined, interfaces: [] } as never);
}

function refusalOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (hasCode(error, "INVALID_ARGUMENT")) return (error as DaosError).message;
    throw error;
  }
  return "none";
}

test("a class that survives less than the container promises: no new id", () => {
  const container = containerOf(4, { oclass: "RP_3GX", rd_fac: 2 });
  for (const name of ["S1", "SX", "RP_2GX", "EC_2P1GX"]) {
    expect(refusalOf(() => container.newObjectId("ARRAY_BYTE", name))).toContain("the container promises 2 (rd_fac)");
  }
  expect(refusalOf(() => container.newObjectId("ARRAY_BYTE", "RP_3G1"))).toBe("none");
});

test("a class that needs more fault domains than the pool has: no new id, object or array of it", async () => {
  const container = await opened();
  // All four targets are of one engine.
  for (const [name, needed] of [
    ["RP_2G1", 2],
    ["EC_2P1GX", 3],
  ] as const) {
    const expected = `needs ${needed} fault domains, the pool has 1 (its engines). Add engines`;
    const id = objectId("ARRAY_BYTE", objectClassByName(name), 0, 1n);
    for (const act of [
      () => container.newObjectId("ARRAY_BYTE", name),
      () => container.object(id),
      () => container.array(id),
    ]) {
      expect(refusalOf(act)).toContain(expected);
    }
  }
  expect(refusalOf(() => containerOf(6).newObjectId("ARRAY", "EC_4P3G1"))).toContain(
    "EC_4P3 needs 7 fault domains, the pool has 6 (its engines). Add engines, or use EC_4P2.",
  );
  expect(refusalOf(() => containerOf(7).newObjectId("ARRAY", "EC_4P3G1"))).toBe("none");
});

test("erasure codes with impossible numbers, copies that are not kept, and unknown classes name what there is", async () => {
  const container = await opened();
  for (const [name, words] of [
    ["EC_0P1G1", "1 parity shards are more than its 0 data shards. Use one of EC_2P1"],
    ["EC_3P5G1", "5 parity shards are more than its 3 data shards. Use one of EC_2P1"],
    ["EC_4P0G1", "there is no code of 4 data and 0 parity shards. Use one of EC_2P1"],
    ["EC_4P2", "it names no groups. Use EC_4P2GX, or EC_4P2G1 for one group."],
    ["rp_3", "it names no groups. Use RP_3GX"],
    ["RP_1G1", "that many copies are not kept. Use RP_2 to RP_6."],
    ["RP_9GX", "that many copies are not kept. Use RP_2 to RP_6."],
    ["XX_1", "not known. Use S<groups>"],
    ["", "not known. Use S<groups>"],
  ] as const) {
    const message = refusalOf(() => container.newObjectId("ARRAY_BYTE", name));
    expect(message).toStartWith(`Cannot use object class "${name}": `);
    expect(message).toContain(words);
  }
});

test("a stripe larger than a request: no new id of the class in a container of such cells", () => {
  const container = containerOf(20, { ec_cell_sz: 1 << 20 });
  expect(refusalOf(() => container.newObjectId("ARRAY", "EC_8P2GX"))).toBe(
    'Cannot use object class "EC_8P2GX": its stripe of 8 cells of 1 MiB is larger than a request, 4 MiB. ' +
      "Use an ec_cell_sz of at most 512 KiB, or a class of fewer data shards.",
  );
  expect(refusalOf(() => container.newObjectId("ARRAY", "EC_4P2GX"))).toBe("none");
});

test("chunks of new arrays are whole stripes of their class, whatever the container's class is", () => {
  const chunkOf = (className: string, properties = {}): number => {
    const container = containerOf(20, properties);
    return container.array(container.newObjectId("ARRAY", className)).chunkBytes;
  };
  expect(chunkOf("RP_3GX")).toBe(1 << 20);
  expect(chunkOf("EC_4P2GX")).toBe(1 << 20);
  expect(chunkOf("EC_16P2GX")).toBe(2 << 20);
  expect(chunkOf("EC_2P1GX", { ec_cell_sz: 96 * 1024 })).toBe(6 * 192 * 1024);
  expect(chunkOf("EC_8P1GX", { chunk_size: 65_536 })).toBe(1 << 20);
});

test("an update is not tried again for longer than targets remember it", async () => {
  const engine = new FakeEngine(7);
  closing.push(() => engine.close());
  expect(await codeOf(engine.connect({ retryWindowMs: MAX_RETRY_WINDOW_MS + 1 }))).toBe("INVALID_ARGUMENT");
  const system = await engine.connect({ retryWindowMs: MAX_RETRY_WINDOW_MS });
  closing.unshift(() => system.close());
});
