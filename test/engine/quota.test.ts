/** A pool's share of one target. */
import { expect, test } from "bun:test";
import { MIB } from "../../src/base/limits.ts";
import { QUOTA_RENEW_BYTES, QUOTA_RENEW_MS, QuotaTable } from "../../src/engine/quota.ts";
import { expectCode } from "../store/expect-code.ts";

class Rig {
  nowMs = 10_000;
  readonly used = new Map<number, number>();
  sums = 0;
  readonly table = new QuotaTable(
    (container) => {
      this.sums += 1;
      return { scmBytes: this.used.get(container) ?? 0, nvmeBytes: 0, versions: 1 };
    },
    () => this.nowMs,
  );

  /** Charges, and stores what was let through. */
  write(container: number, sizeBytes: number): void {
    this.table.charge(this.table.of(container)!, sizeBytes);
    this.used.set(container, (this.used.get(container) ?? 0) + sizeBytes);
  }
}

test("a pool takes its quota over all its containers, and not a write more", () => {
  const rig = new Rig();
  rig.table.set({ pool: "tank", sizeBytes: 10 * MIB, containers: [1, 2] });
  for (let count = 0; count < 5; count += 1) {
    rig.write(1, MIB);
    rig.write(2, MIB);
  }
  expect(expectCode("NO_SPACE", () => rig.write(1, 1)).message).toMatch(/pool "tank".*10 MiB.*full/);
  expectCode("NO_SPACE", () => rig.write(2, 1));
});

test("what is deleted can be written again as soon as the sum is renewed", () => {
  const rig = new Rig();
  rig.table.set({ pool: "tank", sizeBytes: 2 * MIB, containers: [1] });
  rig.write(1, 2 * MIB);
  expectCode("NO_SPACE", () => rig.write(1, MIB));
  rig.used.set(1, 0);
  expectCode("NO_SPACE", () => rig.write(1, MIB));
  rig.nowMs += QUOTA_RENEW_MS;
  rig.write(1, MIB);
});

test("refused writes do not count", () => {
  const rig = new Rig();
  rig.table.set({ pool: "tank", sizeBytes: MIB, containers: [1] });
  for (let count = 0; count < 100; count += 1) expectCode("NO_SPACE", () => rig.write(1, 2 * MIB));
  rig.write(1, MIB);
});

test("a full pool costs one sum in a while, not one a write", () => {
  const rig = new Rig();
  rig.table.set({ pool: "tank", sizeBytes: MIB, containers: [1] });
  rig.used.set(1, MIB);
  for (let count = 0; count < 1000; count += 1) expectCode("NO_SPACE", () => rig.write(1, 10));
  expect(rig.sums).toBeLessThan(5);
});

test("other writers' bytes are seen within QUOTA_RENEW_BYTES", () => {
  const rig = new Rig();
  rig.table.set({ pool: "tank", sizeBytes: 100 * MIB, containers: [1] });
  rig.write(1, 1);
  rig.used.set(1, 100 * MIB);
  let writtenBytes = 0;
  expectCode("NO_SPACE", () => {
    for (;;) {
      rig.write(1, MIB);
      writtenBytes += MIB;
    }
  });
  expect(writtenBytes).toBeLessThanOrEqual(QUOTA_RENEW_BYTES);
});

test("pools do not concern each other; a change reaches those who hold the quota; a pool without containers is gone", () => {
  const rig = new Rig();
  rig.table.set({ pool: "tank", sizeBytes: MIB, containers: [1] });
  rig.table.set({ pool: "other", sizeBytes: MIB, containers: [2] });
  const held = rig.table.of(1)!;
  rig.write(1, MIB);
  rig.write(2, MIB);
  rig.table.set({ pool: "tank", sizeBytes: 3 * MIB, containers: [1, 3] });
  expect(rig.table.of(1)).toBe(held);
  rig.write(3, MIB);
  expectCode("NO_SPACE", () => rig.write(2, 1));
  rig.table.set({ pool: "tank", sizeBytes: 3 * MIB, containers: [] });
  expect(rig.table.of(1)).toBeUndefined();
  expect(rig.table.of(3)).toBeUndefined();
  expect(rig.table.of(2)!.pool).toBe("other");
});
