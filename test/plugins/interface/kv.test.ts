/** The kv interface: the conformance suite, and that its data is where other clients of the format look for it. */
import { expect, test } from "bun:test";
import { byteString, type ByteString, byteStringOfText } from "../../../src/base/bytes.ts";
import { objectClassByName } from "../../../src/base/object-class.ts";
import { objectId } from "../../../src/base/object-id.ts";
import type { KeyValue } from "../../../src/contracts/key-value.ts";
import kvPlugin from "../../../plugins/interface/kv/index.ts";
import { interfaceConformance } from "../../conformance/interface.ts";
import { MemoryObjectAccess } from "../../conformance/memory-object-access.ts";

interfaceConformance("kv", () => kvPlugin.create({}));

test("a pair is the single value at the empty akey of object KV_LEXICAL 0.1 of the container's class", async () => {
  const access = new MemoryObjectAccess("kv");
  const kv = kvPlugin.create({}).open(access) as KeyValue;
  await kv.put("greeting", Buffer.from("hello"));
  const oid = objectId("KV_LEXICAL", access.defaultClass, 0, 1n);
  const stored = await access.fetchValue(oid, byteStringOfText("greeting"), "" as ByteString);
  expect(byteString(stored!.value)).toBe(byteStringOfText("hello"));
  const s1 = objectId("KV_LEXICAL", objectClassByName("S1"), 0, 1n);
  expect(Buffer.from(s1, "latin1").toString("hex")).toBe("0a010001000000000000000000000001");
});

test("the configuration takes no keys", async () => {
  const schema = kvPlugin.configSchema["~standard"];
  expect((await schema.validate({})).issues).toBeUndefined();
  expect((await schema.validate({ cache: 1 })).issues?.length).toBe(1);
});
