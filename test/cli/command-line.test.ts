/** The frame of every command: help, versions, unknown words, exit statuses, errors in text and JSON, broken pipes. */
import { describe, expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import type { Command, CommandGroup } from "../../src/cli/command.ts";
import { ROOT } from "../../src/cli/root-commands.ts";
import { Harness, prepared, unreachable } from "./harness.ts";

function commandLines(group: CommandGroup, line: string): [string, Command][] {
  return Object.entries(group.members).flatMap(([name, member]) =>
    member.kind === "group"
      ? commandLines(member, `${line} ${name}`)
      : [[`${line} ${name}`, member] as [string, Command]],
  );
}
/** `daos admin system query` shows the examples of `daos system query`. */
function shortForm(line: string): string {
  return line.replace(/^ admin /, " ");
}
const COMMANDS = commandLines(ROOT, "");

describe("help", () => {
  test.each(COMMANDS)("daos%s --help shows usage and an example of its own", async (line, command) => {
    const harness = new Harness();
    const { status, stdout, stderr } = await harness.run(`${line} --help`);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toContain(`Usage: daos${line}`);
    expect(
      command.examples.some(
        (example) => example.includes(`daos${shortForm(line)} `) || example.endsWith(`daos${shortForm(line)}`),
      ),
    ).toBe(true);
    expect(stdout).toContain(`  ${command.examples[0]}\n`);
    expect(stdout).toContain("--json");
    expect(harness.connects).toEqual([]);
  });

  test.each(COMMANDS)("every example of daos%s parses", (line, command) => {
    for (const example of command.examples) {
      const call = /(?:^|\| )daos (.*?)(?: [|>] .*)?$/.exec(example)![1]!;
      const words = call.split(" ");
      const own = words.slice(shortForm(line).trim().split(" ").length);
      expect(() => command.prepare(own, `daos${line}`)).not.toThrow();
    }
  });

  test("daos --help lists the groups, help pool is pool --help", async () => {
    const harness = new Harness();
    const { stdout } = await harness.run("--help");
    for (const name of Object.keys(ROOT.members)) expect(stdout).toContain(`\n  ${name} `);
    expect((await harness.run("help pool")).stdout).toBe((await harness.run("pool --help")).stdout);
    expect((await harness.run("pool -h")).stdout).toContain("create");
  });

  test("--help after -- is data, not a question", async () => {
    const harness = await prepared();
    expect((await harness.run("kv put tank demo -- --help text")).status).toBe(0);
    expect((await harness.run("kv get tank demo -- --help")).stdout).toBe("text");
  });

  test("--version", async () => {
    const harness = new Harness();
    expect((await harness.run("--version")).stdout).toBe("daos 0.1.0\n");
    expect((await harness.run("--version --json")).stdout).toBe('{"version":"0.1.0"}\n');
  });
});

describe("wrong calls end with status 2 and say what was meant", () => {
  test.each([
    ["", "use one of server, admin"],
    ["pool", "use one of create, list"],
    ["poool list", "did you mean daos pool? See daos --help."],
    ["pool crate tank", "did you mean daos pool create?"],
    ["pool zzzzzz", "resize. See daos pool --help."],
    ["constructor", "there is no such command"],
    ["pool create tank --sise 4GiB", "did you mean --size?"],
    ["pool list --jsn", "did you mean --json?"],
    ["--sistem h:1 pool list", "did you mean --system?"],
    ["pool list -x", "it has no flag -x"],
    ["pool create", "LABEL missing"],
    ["container create", "POOL and LABEL missing"],
    ["pool create tank", "--size is missing"],
    ["pool create tank --size", "--size needs a value"],
    ["pool create tank --size --json", "--size needs a value"],
    ["pool create tank --size 4GiB extra", "2 words given where 1 belong"],
    ["pool create tank --size lots", 'Cannot use size "lots"'],
    ["pool create tank --size 0", "must not be zero"],
    ["pool create bad/label --size 4GiB", 'Cannot use pool label "bad/label"'],
    ["pool list extra", "1 words given where 0 belong"],
    ["pool destroy tank --force=maybe", "--force takes no value"],
    ["pool query tank --timeout soon", "write seconds"],
    ["pool query tank --timeout 0", "write seconds"],
    ["pool query tank --system 10.0.0.1:99999", "write it as host:port"],
    ["pool create tank --size 4GiB --properties owner", "write NAME:VALUE"],
    ["pool set-prop tank a:1 a:2", "given twice"],
    ["container create tank demo --type files", "use one of kv, object, posix"],
    ["container create tank demo --class T3", "Use S<groups>"],
    ["container create tank demo --chunk-size x", 'Cannot use size "x"'],
    ["kv put tank demo key", "a value is missing"],
    ["kv put tank demo key value --file f", "exclude each other"],
    ["kv put tank demo key value --if-absent --if-exists", "exclude each other"],
    ["kv get tank demo key --epoch 1 --snapshot s", "exclude each other"],
    ["kv get tank demo key --epoch yesterday", "write an epoch"],
    ["kv get tank demo xyz --encoding hex", "not hexadecimal"],
    ["kv get tank demo xyz --encoding base64", "not base64"],
    ["kv get tank demo xyz --encoding rot13", "use one of utf8, hex, base64"],
    ["object get tank bulk 12", "hi.lo"],
    ["object get tank bulk 0.1", "object class"],
    ["object get tank bulk 0a01ffff00000000.1", "its type is KV_LEXICAL"],
    ["object get tank bulk d01ffff00000000.1 --json", "--json needs --output"],
    ["object put tank bulk f --oid d01ffff00000000.1 --class S1", "exclude each other"],
    ["object akeys tank bulk d01ffff00000000.1 first", "Write one in decimal"],
    ["object akeys tank bulk d01ffff00000000.1 18446744073709551616", "Write one in decimal"],
    ["server start --targets none", "whole number"],
    ["server start --targets 0", "whole number"],
    ["server start --scm-size big", 'Cannot use size "big"'],
    ["bench kv --read-percent 101", "whole number from 0 to 100"],
    ["bench kv --seconds -1", "write seconds"],
    ["bench kv --size 1GiB", "at most 8 MiB"],
    ["bench kv --container c", "--container needs --pool"],
  ])("daos %s", async (line, expected) => {
    const harness = new Harness();
    const { status, stdout, stderr } = await harness.run(line);
    expect(stderr).toStartWith("daos: Cannot ");
    expect(stderr).toEndWith("\n");
    expect(stderr).toContain(expected);
    expect({ status, connects: harness.connects.length }).toEqual({ status: 2, connects: 0 });
    if (!line.includes("--json")) expect(stdout).toBe("");
    const { status: jsonStatus, value } = await harness.json(line === "" ? [] : line.split(" "));
    expect({ jsonStatus, code: value.error.code }).toEqual({ jsonStatus: 2, code: "CONFIGURATION" });
  });
});

describe("errors", () => {
  test("are one line on standard error and, with --json, one object on standard output", async () => {
    const harness = new Harness();
    const message = 'Cannot open pool "nope": there is none. See `daos pool list`.';
    expect(await harness.run("pool query nope")).toMatchObject({ status: 1, stdout: "", stderr: `daos: ${message}\n` });
    const { status, value, stderr } = await harness.json("pool query nope");
    expect({ status, value }).toEqual({ status: 1, value: { error: { code: "NOT_FOUND", message } } });
    expect(stderr).toBe(`daos: ${message}\n`);
  });

  test("a list that fails half-way stays valid JSON and shows the error as its last element", async () => {
    const harness = await prepared();
    harness.system.pools.get("tank")!.containers.get("demo")!.kv = () =>
      ({
        list: async function* () {
          yield Buffer.from("a");
          throw new DaosError("UNAVAILABLE", "Cannot list keys: gone. Try again.");
        },
      }) as never;
    const { status, value, stderr } = await harness.json("kv list tank demo");
    expect({ status, stderr }).toEqual({ status: 1, stderr: "daos: Cannot list keys: gone. Try again.\n" });
    expect(value).toEqual([
      { key: "a", keyEncoding: "utf8" },
      { error: { code: "UNAVAILABLE", message: "Cannot list keys: gone. Try again." } },
    ]);
    expect((await harness.run("kv list tank demo")).stdout).toBe("a\n");
  });

  test("a list that fails before its first element is an error object", async () => {
    const harness = await prepared();
    const { value } = await harness.json("kv list tank demo --snapshot nope");
    expect(value.error.code).toBe("NOT_FOUND");
  });

  test("what is no DaosError is a bug and not hidden", async () => {
    const harness = new Harness();
    harness.system.listPools = () => Promise.reject(new TypeError("x is undefined"));
    await expect(harness.run("pool list")).rejects.toThrow("x is undefined");
  });

  test("a gone reader ends the command quietly", async () => {
    const harness = await prepared();
    for (let index = 0; index < 10; index++) await harness.run(`kv put tank demo key${index} value`);
    harness.stdout.brokenAfterBytes = 0;
    expect(await harness.run("kv list tank demo")).toMatchObject({ status: 0, stderr: "" });
    expect(await harness.run("pool query nope --json")).toMatchObject({ status: 1 });
  });

  test("a full disk behind standard output, or broken standard input, is an error like any other", async () => {
    const harness = await prepared();
    const write = harness.stdout.write.bind(harness.stdout);
    harness.stdout.write = () => Promise.reject(Object.assign(new Error("write"), { code: "ENOSPC" }));
    const full = await harness.run("pool list");
    expect(full.status).toBe(1);
    expect(full.stderr).toBe(
      "daos: Cannot write standard output: the operating system says ENOSPC. Check where it leads.\n",
    );
    expect((await harness.run("pool list --json")).status).toBe(1);
    harness.stdout.write = write;
    harness.stdin = {
      [Symbol.asyncIterator]: () => ({
        next: () => Promise.reject(Object.assign(new Error("read"), { code: "EISDIR" })),
      }),
    };
    const broken = await harness.json("kv put tank demo key --file -");
    expect({ status: broken.status, code: broken.value.error.code }).toEqual({ status: 1, code: "IO" });
  });

  test("a message does not fail on a closed standard error", async () => {
    const harness = new Harness();
    harness.stderr.brokenAfterBytes = 0;
    expect((await harness.run("pool query nope")).status).toBe(1);
  });
});

describe("the system's address", () => {
  test("is --system, else DAOS_SYSTEM, else the local engine", async () => {
    const harness = new Harness();
    await harness.run("pool list");
    harness.variables["DAOS_SYSTEM"] = "a:1,b:2";
    await harness.run("pool list");
    await harness.run("pool list --system c:3 --timeout 1.5");
    await harness.run("--system d:4 --json pool list");
    expect(harness.connects.map(({ system, timeoutMs }) => [system, timeoutMs])).toEqual([
      ["127.0.0.1:10001", 30_000],
      ["a:1,b:2", 30_000],
      ["c:3", 1500],
      ["d:4", 30_000],
    ]);
    expect(harness.connects[0]!.signal).toBe(harness.abort.signal);
  });

  test("connections are closed, also after a failure", async () => {
    const harness = await prepared();
    const { closed } = harness.system;
    await harness.run("kv get tank demo nothing");
    expect(harness.system.closed).toBe(closed + 1);
  });

  test("nobody there is status 1", async () => {
    const harness = new Harness();
    harness.connectErrors.push(unreachable());
    const { status, stderr } = await harness.run("pool list");
    expect(status).toBe(1);
    expect(stderr).toContain("no engine answers");
  });
});
