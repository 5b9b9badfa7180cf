import { expect, test } from "bun:test";
import { IndexMemory, MAX_MAPPED_BYTES } from "../../src/engine/index-memory.ts";
import { SimulatedClock } from "../simulation/clock.ts";
import { SimulatedTimers } from "../simulation/timers.ts";

test("the index's pages are given back when mapped files take more than the limit, until it is stopped", async () => {
  const timers = new SimulatedTimers(new SimulatedClock());
  let residentBytes = MAX_MAPPED_BYTES;
  let releases = 0;
  const memory = new IndexMemory(timers, {
    residentBytes: () => residentBytes,
    release: () => {
      releases += 1;
      residentBytes = 0;
    },
  });
  await timers.advance(1000);
  expect(releases).toBe(0);
  residentBytes = MAX_MAPPED_BYTES + 1;
  await timers.advance(1000);
  expect(releases).toBe(1);
  residentBytes = MAX_MAPPED_BYTES + 1;
  await timers.advance(1000);
  expect(releases).toBe(2);
  memory.stop();
  residentBytes = MAX_MAPPED_BYTES + 1;
  await timers.advance(1000);
  expect(releases).toBe(2);
});
