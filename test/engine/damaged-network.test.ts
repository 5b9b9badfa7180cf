/**
 * A real engine behind a network that flips bits: every operation of a client succeeds, what it reads is what was written,
 * and both ends count what they have met.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import interfaceKv from "../../plugins/interface/kv/index.ts";
import { MIB } from "../../src/base/limits.ts";
import { connect } from "../../src/client/index.ts";
import { realWorld } from "../../src/world/index.ts";
import { seeded } from "../crash/kill-rounds.ts";
import { BitFlips, relayed } from "../fixtures/flipping-relay.ts";
import { EngineRig } from "./engine-rig.ts";

const LANES = 8;
const ROUNDS = 60;
const FLIP_EVERY_BYTES = 3 * MIB;

let rig: EngineRig;

beforeAll(async () => {
  rig = await EngineRig.start();
}, 30_000);

afterAll(() => rig.remove());

function content(lane: number, round: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at += 1) bytes[at] = (at * 31 + (at >> 9) + lane * 7 + round * 13) & 255;
  return bytes;
}

test("bits that flip on the way fail no operation and change no data", async () => {
  const flips = new BitFlips(seeded(20_261_130), FLIP_EVERY_BYTES);
  const { world, stop } = relayed(realWorld(), flips);
  const system = await connect(world, { system: rig.engine.address, interfaces: [interfaceKv.create({})] });
  try {
    const container = await system.pool("tank").openContainer("things", { readOnly: false });
    const array = container.array(container.newObjectId("ARRAY_BYTE"));
    const lane = async (number: number): Promise<void> => {
      for (let round = 0; round < ROUNDS; round += 1) {
        const key = `key ${number} ${round % 7}`;
        const small = content(number, round, 100 + ((round * 997) % 9000));
        await container.kv().put(key, small);
        expect(Buffer.from((await container.kv().get(key))!.value).equals(small)).toBe(true);
        const length = round % 3 === 0 ? MIB : 1000 + round * 4096;
        const large = content(number, round, length);
        await array.write(number * MIB + MIB - length, large);
        expect(Buffer.from(await array.read(number * MIB + MIB - length, length)).equals(large)).toBe(true);
      }
    };
    await Promise.all(Array.from({ length: LANES }, (_, number) => lane(number)));
    const [target] = (await system.metrics()).targets;
    expect(flips.count).toBeGreaterThan(50);
    expect(system.damagedFrames).toBeGreaterThan(20);
    expect(target!["damagedFrames"]).toBeGreaterThan(20);
  } finally {
    await system.close();
    stop();
  }
}, 60_000);
