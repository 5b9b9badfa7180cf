/**
 * The power-loss test of the store with the file-backed scm plugins in place of the model's region: a thousand power
 * losses, and a persist that was skipped is found out.
 */
import { expect, test } from "bun:test";
import { FileScmProvider } from "../../plugins/scm/file/region.ts";
import { RamScmProvider } from "../../plugins/scm/ram/provider.ts";
import type { ScmProvider } from "../../src/contracts/scm.ts";
import { CrashHarness } from "./crash-harness.ts";
import { DiskCrashMachine } from "./disk-crash-machine.ts";

/** What is tried, and how many power losses of it. */
const PLUGINS: readonly { name: string; points: number; make: () => ScmProvider }[] = [
  {
    name: "ram over block-device file, auto",
    points: 400,
    make: () => new RamScmProvider({ mode: "auto", device: { plugin: "file" } }),
  },
  {
    name: "ram over block-device file, async",
    points: 400,
    make: () => new RamScmProvider({ mode: "async", device: { plugin: "file" } }),
  },
  { name: "file", points: 200, make: () => new FileScmProvider("auto") },
];
const LYING_PERSISTS = [4, 5, 6, 7, 9, 11, 13, 16, 20, 24, 29, 34];

for (const { name, points, make } of PLUGINS) {
  const harness = (seed: number, lyingPersist?: number): CrashHarness => {
    const options = { seed, ...(lyingPersist !== undefined && { lyingPersist }) };
    return new CrashHarness(options, new DiskCrashMachine(options, make()));
  };

  test(`a store on scm ${name} keeps what it acknowledged through ${points} power losses`, async () => {
    let struck = 0;
    for (const seed of [300, 301]) {
      const counts = await harness(seed).run(points / 2);
      struck += counts.places.get("persist") ?? 0;
    }
    expect(struck).toBeGreaterThan(20);
  }, 120_000);

  // One persist that is skipped may do no harm, when power fails before or long after it.
  test(`canary: scm ${name} that skips persists is found out`, async () => {
    let found = 0;
    for (const lyingPersist of LYING_PERSISTS) {
      const outcome = harness(lyingPersist, lyingPersist).run(20);
      found += await outcome.then(
        () => 0,
        () => 1,
      );
    }
    expect(found).toBeGreaterThan(2);
  }, 60_000);
}
