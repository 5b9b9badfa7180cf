/** `daos kv ...` against a fake system: every way in and out of a value, byte for byte. */
import { expect, test } from "bun:test";
import { MAX_SINGLE_VALUE_BYTES } from "../../src/base/limits.ts";
import { prepared } from "./harness.ts";

const BINARY = Uint8Array.from({ length: 5000 }, (_, index) => (index * 7) & 0xff);

test("kv put prints nothing, kv get prints the value and nothing else", async () => {
  const harness = await prepared();
  expect(await harness.run("kv put tank demo greeting hello")).toMatchObject({ status: 0, stdout: "", stderr: "" });
  expect(await harness.run("kv get tank demo greeting")).toMatchObject({ status: 0, stdout: "hello" });
  expect((await harness.json("kv put tank demo greeting hi")).value).toEqual({
    key: "greeting",
    keyEncoding: "utf8",
    sizeBytes: 2,
    epoch: 78,
  });
  expect((await harness.json("kv get tank demo greeting")).value).toEqual({
    key: "greeting",
    keyEncoding: "utf8",
    value: "hi",
    valueEncoding: "utf8",
    sizeBytes: 2,
    epoch: 77,
    file: null,
  });
});

test("on a terminal a value without a newline gets one", async () => {
  const harness = await prepared();
  await harness.run("kv put tank demo greeting hello");
  harness.stdout.isTerminal = true;
  expect((await harness.run("kv get tank demo greeting")).stdout).toBe("hello\n");
});

test("empty keys and empty values", async () => {
  const harness = await prepared();
  expect((await harness.run(["kv", "put", "tank", "demo", "", ""])).status).toBe(0);
  expect((await harness.run(["kv", "get", "tank", "demo", ""])).stdout).toBe("");
  expect((await harness.json("kv list tank demo")).value).toEqual([{ key: "", keyEncoding: "utf8" }]);
});

test("values travel through files and pipes unchanged", async () => {
  const harness = await prepared();
  harness.files.contents.set("in.bin", BINARY);
  expect((await harness.run("kv put tank demo file --file in.bin")).status).toBe(0);
  expect(Buffer.compare((await harness.run("kv get tank demo file")).stdoutBytes, BINARY)).toBe(0);
  expect((await harness.json("kv get tank demo file --file out.bin")).value).toEqual({
    key: "file",
    keyEncoding: "utf8",
    value: null,
    valueEncoding: null,
    sizeBytes: 5000,
    epoch: 77,
    file: "out.bin",
  });
  expect(Buffer.compare(harness.files.contents.get("out.bin")!, BINARY)).toBe(0);
  harness.stdin = BINARY;
  await harness.run("kv put tank demo piped -f -");
  expect(Buffer.compare((await harness.run("kv get tank demo piped -o -")).stdoutBytes, BINARY)).toBe(0);
  const { value } = await harness.json("kv get tank demo piped");
  expect(value.valueEncoding).toBe("base64");
  expect(Buffer.compare(Buffer.from(value.value, "base64"), BINARY)).toBe(0);
});

test("a file over the limit is refused with advice, one at the limit is taken", async () => {
  const harness = await prepared();
  harness.files.contents.set("limit", new Uint8Array(MAX_SINGLE_VALUE_BYTES));
  harness.files.contents.set("over", new Uint8Array(MAX_SINGLE_VALUE_BYTES + 1));
  expect((await harness.run("kv put tank demo key --file limit")).status).toBe(0);
  const { status, value } = await harness.json("kv put tank demo other --file over");
  expect({ status, code: value.error.code }).toEqual({ status: 1, code: "TOO_LARGE" });
  expect(value.error.message).toContain("daos object put");
  expect((await harness.run("kv get tank demo other")).status).toBe(1);
  expect((await harness.run("kv put tank demo key --file nope")).stderr).toContain("no such file");
});

test("a key that is not there fails, and says so", async () => {
  const harness = await prepared();
  const message = 'key "nope": it is not there. See the keys with `daos kv list`.\n';
  expect(await harness.run("kv get tank demo nope")).toMatchObject({
    status: 1,
    stdout: "",
    stderr: `daos: Cannot get ${message}`,
  });
  expect(await harness.run("kv delete tank demo nope")).toMatchObject({
    status: 1,
    stderr: `daos: Cannot delete ${message}`,
  });
  expect((await harness.json("kv get tank demo nope")).value.error.code).toBe("DOES_NOT_EXIST");
});

test("kv put --if-absent and --if-exists", async () => {
  const harness = await prepared();
  expect((await harness.run("kv put tank demo key one --if-exists")).stderr).toContain(
    'put key "key": it is not there',
  );
  expect((await harness.run("kv put tank demo key one --if-absent")).status).toBe(0);
  expect((await harness.json("kv put tank demo key two --if-absent")).value.error.code).toBe("ALREADY_EXISTS");
  expect((await harness.run("kv put tank demo key two --if-exists")).status).toBe(0);
  expect((await harness.run("kv get tank demo key")).stdout).toBe("two");
});

test("kv delete", async () => {
  const harness = await prepared();
  await harness.run("kv put tank demo key one");
  expect((await harness.json("kv delete tank demo key")).value).toEqual({
    key: "key",
    keyEncoding: "utf8",
    deleted: true,
    epoch: 79,
  });
  expect((await harness.run("kv get tank demo key")).status).toBe(1);
});

test("kv list: prefix, order, keys that are no text", async () => {
  const harness = await prepared();
  for (const key of ["user/b", "user/a", "zoo"]) await harness.run(`kv put tank demo ${key} v`);
  await harness.run("kv put tank demo ff00 v --encoding hex");
  await harness.run(["kv", "put", "tank", "demo", "tab\there", "v"]);
  expect((await harness.run("kv list tank demo")).stdout).toBe("tab\\x09here\nuser/a\nuser/b\nzoo\n\\xff\\x00\n");
  expect((await harness.json("kv list tank demo --prefix user/")).value).toEqual([
    { key: "user/a", keyEncoding: "utf8" },
    { key: "user/b", keyEncoding: "utf8" },
  ]);
  expect((await harness.json("kv list tank demo --prefix ff --encoding hex")).value).toEqual([
    { key: "/wA=", keyEncoding: "base64" },
  ]);
  expect((await harness.run("kv get tank demo /wA= --encoding base64")).stdout).toBe("v");
});

test("a list longer than one write comes whole", async () => {
  const harness = await prepared();
  const keys = Array.from({ length: 3000 }, (_, index) => `key-${String(index).padStart(20, "0")}`);
  const kv = harness.system.pools.get("tank")!.containers.get("demo")!.kv();
  for (const key of keys) await kv.put(key, new Uint8Array());
  const { value } = await harness.json("kv list tank demo");
  expect(value.map((entry: { key: string }) => entry.key)).toEqual(keys);
  expect((await harness.run("kv list tank demo")).stdout).toBe(`${keys.join("\n")}\n`);
});

test("reads at a snapshot and at an epoch see what was there", async () => {
  const harness = await prepared();
  await harness.run("kv put tank demo key old");
  await harness.run("container snapshot create tank demo monday");
  await harness.run("kv put tank demo key new");
  await harness.run("kv put tank demo other new");
  expect((await harness.run("kv get tank demo key --snapshot monday")).stdout).toBe("old");
  expect((await harness.run("kv get tank demo key --epoch 1000")).stdout).toBe("old");
  expect((await harness.run("kv list tank demo --snapshot monday")).stdout).toBe("key\n");
  expect((await harness.run("kv get tank demo key")).stdout).toBe("new");
  expect((await harness.run("kv get tank demo key --snapshot tuesday")).status).toBe(1);
});

test("canceling ends a put that waits for standard input", async () => {
  const harness = await prepared();
  const asked = Promise.withResolvers<void>();
  harness.stdin = {
    [Symbol.asyncIterator]: () => ({
      next: () => {
        asked.resolve();
        return new Promise(() => {});
      },
    }),
  } as AsyncIterable<Uint8Array>;
  const running = harness.json("kv put tank demo key --file -");
  await asked.promise;
  harness.abort.abort();
  const { status, value } = await running;
  expect({ status, code: value.error.code }).toEqual({ status: 1, code: "CANCELED" });
});
