/** The histogram's percentiles against the sorted samples. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { LatencyHistogram } from "../../src/client/latency-histogram.ts";

test("percentiles are within 1.6 % of the exact ones", () => {
  const samples = fc.array(fc.integer({ min: 0, max: 5e9 }), { minLength: 1, maxLength: 300 });
  const property = fc.property(samples, fc.constantFrom(0, 0.5, 0.9, 0.99, 0.999, 1), (latencies, fraction) => {
    const histogram = new LatencyHistogram();
    for (const latency of latencies) histogram.record(latency);
    const exactNs = latencies.toSorted((left, right) => left - right)[
      Math.max(0, Math.ceil(latencies.length * fraction) - 1)
    ]!;
    expect(Math.abs(histogram.percentileUs(fraction) * 1000 - exactNs)).toBeLessThanOrEqual(exactNs * 0.016 + 16);
  });
  fc.assert(property, { numRuns: 500 });
});

test("mean, maximum, and nothing at all", () => {
  const histogram = new LatencyHistogram();
  expect([histogram.count, histogram.meanUs, histogram.maxUs, histogram.percentileUs(0.99)]).toEqual([0, 0, 0, 0]);
  for (const latency of [1000, 3000, -5, 1e12]) histogram.record(latency);
  expect([histogram.count, histogram.maxUs]).toEqual([4, 1e9]);
  expect(histogram.meanUs).toBeCloseTo((4000 + 1e12) / 4 / 1000);
  histogram.clear();
  expect([histogram.count, histogram.maxUs, histogram.percentileUs(1)]).toEqual([0, 0, 0]);
});
