import { expect, test } from "bun:test";
import { MIB } from "../../src/base/limits.ts";
import type { ScmRegion } from "../../src/contracts/scm.ts";
import { automaticThreshold, measureSpeed } from "../../src/engine/storage-speed.ts";
import { ScriptedDevice } from "./scripted-device.ts";

test("the automatic threshold follows from how much faster SCM is", () => {
  const at = (scmWriteUs: number, nvmeWriteUs: number): number => automaticThreshold({ scmWriteUs, nvmeWriteUs });
  expect([at(1, 90), at(100, 800), at(100, 799), at(100, 50), at(100, 49)]).toEqual([16384, 16384, 4096, 4096, 1024]);
  expect(at(0, 5)).toBe(4096);
  expect(automaticThreshold(undefined)).toBe(4096);
});

test("a measurement is the median of a few writes, and leaves zeros behind", async () => {
  let nowNs = 0;
  const clock = { wallMs: () => 0, monotonicNs: () => nowNs };
  const device = new ScriptedDevice(MIB);
  const write = device.write.bind(device);
  device.write = (offset, buffer) => {
    nowNs += 90_000;
    return write(offset, buffer);
  };
  let turns = 0;
  const region = {
    bytes: new Uint8Array(MIB),
    granularityBytes: 64,
    persist: () => {
      nowNs += turns++ === 3 ? 9_000_000 : 2_000;
      return undefined;
    },
    close: () => {},
  } satisfies ScmRegion;
  expect(await measureSpeed(clock, region, device)).toEqual({ scmWriteUs: 2, nvmeWriteUs: 90 });
  expect([turns, device.writes]).toEqual([16, 16]);
  expect(device.content.every((byte) => byte === 0)).toBe(true);
  device.failing = ["write"];
  expect(await measureSpeed(clock, region, device)).toBeUndefined();
});
