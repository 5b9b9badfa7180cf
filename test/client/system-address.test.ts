/** Addresses as people write them. */
import { expect, test } from "bun:test";
import { formatAddress, parseSystemAddresses } from "../../src/client/system-address.ts";

test("parseSystemAddresses takes lists, defaults and IPv6", () => {
  expect(parseSystemAddresses("a:1, b.example ,[::1]:30")).toEqual([
    { host: "a", port: 1 },
    { host: "b.example", port: 10_001 },
    { host: "::1", port: 30 },
  ]);
  expect(parseSystemAddresses("[fe80::1]").map(formatAddress)).toEqual(["[fe80::1]:10001"]);
});

test("parseSystemAddresses refuses what is none", () => {
  for (const text of ["", "a,", ":1", "a:0", "a:65536", "a:x", "a b", "::1", "[::1", "a:1:2"]) {
    expect(() => parseSystemAddresses(text)).toThrow("host:port");
  }
});
