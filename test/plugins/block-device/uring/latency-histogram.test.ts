import { expect, test } from "bun:test";
import { LatencyHistogram } from "../../../../plugins/block-device/uring/latency-histogram.ts";
import { SimulatedRandom } from "../../../simulation/random.ts";

test("nothing was measured: nothing is told", () => {
  expect(new LatencyHistogram().summary()).toBeUndefined();
});

test("the average is exact, the percentile right within a fifth, from under a microsecond to an hour", () => {
  const random = new SimulatedRandom(1);
  for (const scaleUs of [1, 10, 100, 5_000, 1_000_000, 1e9]) {
    const histogram = new LatencyHistogram();
    const samples = Array.from({ length: 10_000 }, () => random.next() * scaleUs);
    for (const sample of samples) histogram.record(sample);
    const sum = samples.reduce((total, sample) => total + sample, 0);
    const exact = samples.toSorted((left, right) => left - right)[9900]!;
    const { averageUs, p99Us } = histogram.summary()!;
    expect(averageUs).toBeCloseTo(sum / samples.length, 3);
    expect(p99Us).toBeGreaterThanOrEqual(exact);
    expect(p99Us).toBeLessThanOrEqual(Math.max(1.25 * exact, 1));
  }
});

test("what cannot be is taken for the nearest that can", () => {
  const histogram = new LatencyHistogram();
  for (const sample of [-5, 1e15]) histogram.record(sample);
  expect(histogram.summary()!.p99Us).toBeGreaterThan(2 ** 30);
});

test("old samples fade", () => {
  const histogram = new LatencyHistogram();
  for (let sample = 0; sample < 70_000; sample += 1) histogram.record(10_000);
  for (let sample = 0; sample < 1_000_000; sample += 1) histogram.record(10);
  const { averageUs, p99Us } = histogram.summary()!;
  expect(averageUs).toBeLessThan(20);
  expect(p99Us).toBeLessThan(20);
});
