import { expect, test } from "bun:test";
import { formatListenAddress, isLoopback, parseListenAddress } from "../../src/engine/listen-address.ts";

test("parseListenAddress reads names, IPv4, IPv6 in brackets, and knows the default port", () => {
  expect(parseListenAddress("127.0.0.1:10001")).toEqual({ host: "127.0.0.1", port: 10001 });
  expect(parseListenAddress("node-3.example.org")).toEqual({ host: "node-3.example.org", port: 10001 });
  expect(parseListenAddress("[::1]:0")).toEqual({ host: "::1", port: 0 });
  expect(parseListenAddress(" localhost:65535 ")).toEqual({ host: "localhost", port: 65535 });
});

test("parseListenAddress gives undefined for what is no address", () => {
  for (const text of [
    "",
    ":",
    ":80",
    "host:",
    "host:x",
    "host:65536",
    "host:-1",
    "::1:80",
    "a b:1",
    "h:1:2",
    "[::1:5",
    "h/x:1",
  ]) {
    expect(parseListenAddress(text)).toBeUndefined();
  }
});

test("formatListenAddress is what parseListenAddress reads", () => {
  for (const address of [
    { host: "::1", port: 5 },
    { host: "h", port: 0 },
  ]) {
    expect(parseListenAddress(formatListenAddress(address))).toEqual(address);
  }
});

test("isLoopback knows what stays on this machine", () => {
  for (const host of ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LocalHost"]) expect(isLoopback(host)).toBe(true);
  for (const host of ["0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "127.example.org", "localhost.example.org"]) {
    expect(isLoopback(host)).toBe(false);
  }
});
