import { expect, test } from "bun:test";
import type { ScmRegion } from "../../src/contracts/scm.ts";
import { settleRegion } from "../../src/engine/settle-settings.ts";
import { expectCode } from "../conformance/support.ts";

const PARTS = { granularityBytes: 64, persist: () => undefined, close() {} };
const fileRange = { path: "/dev/dax0.0", offset: 8192, sizeBytes: 64, alignmentBytes: 4096 };

test("settleRegion: shared memory travels as it is, mapped memory as its file range", () => {
  const shared: ScmRegion = { ...PARTS, bytes: new Uint8Array(new SharedArrayBuffer(64)), fileRange };
  expect(settleRegion(shared)).toEqual({ bytes: shared.bytes });
  expect(settleRegion({ ...PARTS, bytes: new Uint8Array(64), fileRange })).toEqual({ fileRange });
});

test("settleRegion: memory that another thread cannot see is UNSUPPORTED", () =>
  expectCode("UNSUPPORTED", () => settleRegion({ ...PARTS, bytes: new Uint8Array(64) })));
