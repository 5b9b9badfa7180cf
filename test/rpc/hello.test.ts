/** Greetings between releases that are one version apart, in both directions, and further. */
import { expect, test } from "bun:test";
import { agreedVersion, formatVersions, type VersionRange } from "../../src/base/version-range.ts";
import { DaosError } from "../../src/base/errors.ts";
import { answerHello, decodeHelloReply, encodeHello } from "../../src/rpc/hello.ts";

/** The version that both speak then, or the code. */
function greet(client: VersionRange, server: VersionRange): number | string {
  try {
    return decodeHelloReply(answerHello(encodeHello("test", client), "target", "daos", server), client).protocol;
  } catch (error) {
    if (error instanceof DaosError) return error.code;
    throw error;
  }
}

const ONLY_OLD = { oldest: 1, newest: 1 };
const BOTH = { oldest: 1, newest: 2 };
const ONLY_NEW = { oldest: 2, newest: 2 };

test("the newest version that both speak is chosen, whoever is the newer one", () => {
  expect(greet(BOTH, ONLY_OLD)).toBe(1);
  expect(greet(ONLY_OLD, BOTH)).toBe(1);
  expect(greet(BOTH, BOTH)).toBe(2);
  expect(greet(BOTH, { oldest: 2, newest: 3 })).toBe(2);
});

test("without one that both speak it is VERSION", () => {
  expect(greet(ONLY_OLD, ONLY_NEW)).toBe("VERSION");
  expect(greet(ONLY_NEW, ONLY_OLD)).toBe("VERSION");
});

test("a server that chooses what the client does not speak is VERSION", () => {
  const reply = answerHello(encodeHello("test", BOTH), "target", "daos", BOTH);
  expect(() => decodeHelloReply(reply, ONLY_OLD)).toThrow("it chose protocol version 2, this client speaks 1");
});

test("agreedVersion and formatVersions", () => {
  expect(agreedVersion({ oldest: 2, newest: 3 }, { oldest: 3, newest: 4 })).toBe(3);
  expect(agreedVersion({ oldest: 2, newest: 3 }, { oldest: 4, newest: 5 })).toBeUndefined();
  expect([formatVersions(BOTH), formatVersions(ONLY_NEW)]).toEqual(["1 to 2", "2"]);
});
