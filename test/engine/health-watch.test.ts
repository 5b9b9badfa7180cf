import { expect, test } from "bun:test";
import { HealthWatch } from "../../src/engine/health-watch.ts";
import type { DeviceDescription } from "../../src/format/device-operations.ts";
import { simulatedWorld } from "../simulation/world.ts";

function rig() {
  const told: string[] = [];
  const state = { nvmeUsedBytes: 0, scmCrowded: 0, readErrors: 0, checksumErrors: 0 };
  const device = { id: "d", writeErrors: 0, flushErrors: 0, discardErrors: 0 };
  const { timers } = simulatedWorld(1);
  const watch = new HealthWatch({
    timers,
    targets: {
      spaceByTarget: async () => [{ nvmeUsedBytes: state.nvmeUsedBytes, nvmeTotalBytes: 100 }] as never,
      counters: async () => [{ scmCrowded: state.scmCrowded }] as never,
    },
    devices: { query: async () => ({ devices: [{ ...device, ...state } as unknown as DeviceDescription] }) },
    rank: 2,
    event: (what, _message, place) => told.push(`${what} ${JSON.stringify(place)}`),
  });
  watch.start();
  const looks = async (count: number): Promise<string[]> => {
    await timers.advance(count * 5_000);
    return told.splice(0);
  };
  return { state, looks, watch };
}

const TARGET = '{"rank":2,"target":0}';
const DEVICE = '{"rank":2,"device":"d"}';

test("SCM over its watermark at two looks is told once, and once that it has room again", async () => {
  const { state, looks } = rig();
  state.scmCrowded = 1;
  expect(await looks(1)).toEqual([]);
  expect(await looks(3)).toEqual([`scm_over_watermark ${TARGET}`]);
  state.scmCrowded = 0;
  expect(await looks(4)).toEqual([`space_right ${TARGET}`]);
});

test("NVMe that is nearly full is told once, until it is clearly not", async () => {
  const { state, looks } = rig();
  state.nvmeUsedBytes = 90;
  expect(await looks(3)).toEqual([`space_low ${TARGET}`]);
  state.nvmeUsedBytes = 86;
  expect(await looks(3)).toEqual([]);
  state.nvmeUsedBytes = 84;
  expect(await looks(3)).toEqual([`space_right ${TARGET}`]);
});

test("errors and wrong checksums of a device are told when they become more", async () => {
  const { state, looks, watch } = rig();
  Object.assign(state, { readErrors: 2, checksumErrors: 1 });
  expect(await looks(3)).toEqual([`device_errors ${DEVICE}`, `checksum_failed ${DEVICE}`]);
  state.checksumErrors = 3;
  expect(await looks(1)).toEqual([`checksum_failed ${DEVICE}`]);
  watch.stop();
  state.checksumErrors = 9;
  expect(await looks(3)).toEqual([]);
});
