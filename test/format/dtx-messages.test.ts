import { describe, expect, test } from "bun:test";
import type { Epoch } from "../../src/base/epoch.ts";
import {
  decodeDecisions,
  decodeIds,
  decodeResyncReply,
  decodeStates,
  DtxState,
  encodeDecisions,
  encodeIds,
  encodeResyncReply,
} from "../../src/format/dtx-messages.ts";

const FIRST = { client: 0x0102_0304_0506, sequence: 7 };
const SECOND = { client: 9, sequence: 0x1_0000_0000 };
const THIRD = { client: 1, sequence: 2 };

function refusal(run: () => unknown): string {
  try {
    run();
    return "accepted";
  } catch (error) {
    return (error as { code: string }).code;
  }
}

describe("transaction messages", () => {
  test("have golden bytes", () => {
    const { args, payload } = encodeDecisions({ commits: [FIRST], aborts: [SECOND], forgets: [] });
    expect(args.toString("hex")).toBe("010000000100000000000000");
    expect(payload.toString("hex")).toBe("06050403020100000700000000000000" + "09000000000000000000000001000000");
    const reply = encodeResyncReply([DtxState.committed], [{ ...FIRST, epoch: 5 as Epoch }]);
    expect(reply.toString("hex")).toBe("02" + "06050403020100000700000000000000" + "0500000000000000");
  });

  test("decode to what was encoded", () => {
    const decisions = { commits: [FIRST, THIRD], aborts: [], forgets: [SECOND] };
    const { args, payload } = encodeDecisions(decisions);
    expect(decodeDecisions(args, payload)).toEqual(decisions);
    const open = [{ ...SECOND, epoch: 77 as Epoch }];
    expect(decodeResyncReply(encodeResyncReply([0, 3], open), 2)).toEqual({ states: [0, 3], open });
  });

  test("that are cut off, do not add up, or hold impossible numbers are refused", () => {
    const { args, payload } = encodeDecisions({ commits: [FIRST], aborts: [], forgets: [] });
    expect(refusal(() => decodeDecisions(args, payload.subarray(1)))).toBe("INVALID_ARGUMENT");
    expect(refusal(() => decodeDecisions(args, encodeIds([])))).toBe("INVALID_ARGUMENT");
    expect(refusal(() => decodeDecisions(args.subarray(4), payload))).toBe("INVALID_ARGUMENT");
    expect(refusal(() => decodeIds(Buffer.alloc(16, 0xff)))).toBe("INVALID_ARGUMENT");
    expect(refusal(() => decodeStates(Buffer.from([4])))).toBe("INVALID_ARGUMENT");
    expect(refusal(() => decodeResyncReply(Buffer.from([1]), 2))).toBe("INVALID_ARGUMENT");
  });
});
