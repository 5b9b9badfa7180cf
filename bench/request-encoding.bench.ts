/**
 * Why hot operations have fixed records: the arguments of one get, encoded and decoded again, as the fixed record of
 * src/format/object-request.ts and as CBOR.
 */
import { byteStringOfText } from "../src/base/bytes.ts";
import { EPOCH_NONE } from "../src/base/epoch.ts";
import { objectClassByName } from "../src/base/object-class.ts";
import { objectId } from "../src/base/object-id.ts";
import { decodeCbor, encodeCbor } from "../src/format/cbor.ts";
import {
  NO_REQUEST_ID,
  decodeObjectRequest,
  encodeObjectRequest,
  type ObjectRequest,
} from "../src/format/object-request.ts";
import type { Benchmark, Contender } from "./benchmark.ts";

const OPERATIONS = 200_000;

const request: ObjectRequest = {
  handle: 1,
  flags: 0,
  oid: objectId("KV_LEXICAL", objectClassByName("S1"), 0, 1n),
  epoch: EPOCH_NONE,
  recordIndex: 0,
  recordCount: 1,
  ...NO_REQUEST_ID,
  recordBytes: 1,
  dkey: byteStringOfText("a key of some 24 letters"),
  akey: byteStringOfText(""),
};

function contender(name: string, operation: () => unknown): Contender {
  return {
    name,
    measure: async () => {
      for (let index = 0; index < OPERATIONS / 10; index += 1) operation();
      const startedNs = Bun.nanoseconds();
      for (let index = 0; index < OPERATIONS; index += 1) operation();
      return { nsPerOp: (Bun.nanoseconds() - startedNs) / OPERATIONS };
    },
  };
}

const buffer = Buffer.alloc(1024);

const benchmark: Benchmark = {
  title: "Arguments of one get, encoded and decoded",
  unavailable: () => undefined,
  workloads: ["24 B key"],
  contenders: () => [
    contender("fixed record", () => decodeObjectRequest(buffer.subarray(0, encodeObjectRequest(buffer, 0, request)))),
    contender("CBOR", () => decodeCbor(encodeCbor(request))),
  ],
  goals: [{ workload: "24 B key", figure: "nsPerOp", contender: "fixed record", reference: "CBOR", atMost: 1 }],
};

export default benchmark;
