import { expect, test } from "bun:test";
import { z } from "zod";
import { PLUGIN_LOAD_TIMEOUT_MS } from "../../src/base/limits.ts";
import { copiesScheme } from "../../plugins/redundancy/copies.ts";
import type { PluginDefinition } from "../../src/contracts/plugin.ts";
import type { RedundancyProvider } from "../../src/contracts/redundancy.ts";
import { withPluginErrors } from "../../src/engine/plugin-errors.ts";
import { loadPlugins } from "../../src/engine/plugin-loader.ts";
import { PluginRegistry } from "../../src/engine/plugin-registry.ts";
import { codeOf, expectCode } from "../conformance/support.ts";
import { SimulatedClock } from "../simulation/clock.ts";
import { SimulatedTimers } from "../simulation/timers.ts";

const provider: RedundancyProvider = {
  serves: ["none"],
  scheme: () => copiesScheme("none", 1),
};

function plugin(changes: Partial<Record<keyof PluginDefinition, unknown>> = {}): PluginDefinition {
  return {
    apiVersion: 1,
    kind: "redundancy",
    name: "sample",
    description: "a sample",
    supports: [],
    configSchema: z.strictObject({ depth: z.number().optional(), list: z.array(z.number()).optional() }),
    probe: () => ({ available: true }),
    create: () => provider,
    ...changes,
  } as PluginDefinition;
}

function withForeign(moduleNamespace: unknown): PluginRegistry {
  const registry = new PluginRegistry([plugin()]);
  registry.add(moduleNamespace, "./foreign.ts");
  return registry;
}

test("each fault of a manifest is told, and the plugin is listed as unavailable", () => {
  const faults: readonly [unknown, RegExp][] = [
    [undefined, /no default export/],
    [{}, /no default export/],
    [{ default: "text" }, /no default export/],
    [{ default: plugin({ apiVersion: 2 }) }, /plugin API 2, this server has 1/],
    [{ default: plugin({ kind: "scn" }) }, /kind "scn" is not one of scm, block-device/],
    [{ default: plugin({ name: "Bad Name" }) }, /name "Bad Name" is not/],
    [{ default: plugin({ name: undefined }) }, /name "undefined"/],
    [{ default: plugin({ description: "" }) }, /no description/],
    [{ default: plugin({ supports: "all" }) }, /`supports`/],
    [{ default: plugin({ configSchema: {} }) }, /Standard Schema/],
    [{ default: plugin({ probe: undefined }) }, /no `probe`/],
    [{ default: plugin({ create: 1 }) }, /no `create`/],
    [{ default: plugin() }, /the name is taken: built in/],
  ];
  for (const [moduleNamespace, reason] of faults) {
    const listed = withForeign(moduleNamespace).list();
    expect(listed).toHaveLength(2);
    expect(listed[1]).toMatchObject({ origin: "./foreign.ts", state: "unavailable" });
    expect(listed[1]!.reason).toMatch(reason);
    expect(listed[0]!.state).toBe("available");
  }
});

test("the same name in another kind is no duplicate", () => {
  const registry = withForeign({ default: plugin({ kind: "scm" }) });
  expect(registry.list().map((listed) => listed.state)).toEqual(["available", "available"]);
});

test("a plugin that cannot serve here is listed with its reason; asked for, it is UNSUPPORTED", async () => {
  const registry = new PluginRegistry([plugin()]);
  registry.add(
    { default: plugin({ name: "absent", probe: () => ({ available: false, reason: "no\n library" }) }) },
    "x",
  );
  registry.add(
    {
      default: plugin({
        name: "broken",
        probe: () => {
          throw new Error("boom");
        },
      }),
    },
    "y",
  );
  expect(registry.list().map(({ name, state, reason }) => ({ name, state, reason }))).toEqual([
    { name: "sample", state: "available", reason: "" },
    { name: "absent", state: "unavailable", reason: "no library" },
    { name: "broken", state: "unavailable", reason: "its probe failed: boom" },
  ]);
  expect(registry.available("redundancy")).toEqual(["sample"]);
  await expectCode("UNSUPPORTED", () => registry.provider("redundancy", "absent"));
  await expect(registry.provider("redundancy", "broken")).rejects.toThrow(/its probe failed: boom.*available: sample/);
});

test("an unknown name: NOT_FOUND, with a suggestion and what failed to load", async () => {
  const registry = new PluginRegistry([plugin()]);
  registry.refuse("./missing.ts", "it cannot be loaded: no such file");
  await expectCode("NOT_FOUND", () => registry.provider("redundancy", "sampel"));
  const error = registry.provider("redundancy", "sampel");
  await expect(error).rejects.toThrow(/Known: sample\. Did you mean "sample"\? "\.\/missing\.ts" did not load/);
});

test("wrong configuration: CONFIGURATION with the path of each issue", async () => {
  const registry = new PluginRegistry([plugin()]);
  const wrong = { depth: "deep", list: [1, "two"], other: 1 };
  await expectCode("CONFIGURATION", () => registry.provider("redundancy", "sample", wrong));
  const error = registry.provider("redundancy", "sample", wrong);
  await expect(error).rejects.toThrow(/redundancy plugin "sample": depth: .*; list\[1\]: .*; configuration: .*"other"/);
  await expectCode("CONFIGURATION", () => registry.check("redundancy", "sample", wrong));
  expect(registry.list()[0]!.state).toBe("available");
});

test("what is made or checked is in use", async () => {
  for (const use of ["check", "provider"] as const) {
    const registry = new PluginRegistry([plugin()]);
    await registry[use]("redundancy", "sample", { depth: 3 });
    expect(registry.list()[0]!.state).toBe("in use");
  }
});

test("a built-in provider is given as it is, a foreign one with its errors translated", async () => {
  const registry = withForeign({ default: plugin({ name: "foreign" }) });
  expect(await registry.provider("redundancy", "sample")).toBe(provider);
  const foreign = await registry.provider("redundancy", "foreign");
  expect(foreign).not.toBe(provider);
  expect(foreign.serves).toEqual(["none"]);
  expect(foreign.scheme("none", { cellBytes: 4096 }).shardCount).toBe(1);
});

test("a create that throws or gives nothing is an error of that plugin", async () => {
  const thrower = plugin({
    name: "foreign",
    create: () => {
      throw new Error("no way");
    },
  });
  await expect(withForeign({ default: thrower }).provider("redundancy", "foreign")).rejects.toThrow(
    /"foreign": no way/,
  );
  const empty = plugin({ name: "foreign", create: () => undefined });
  await expectCode("UNSUPPORTED", () => withForeign({ default: empty }).provider("redundancy", "foreign"));
});

class Counter {
  #count = 0;
  readonly size = 4;

  count(): number {
    this.#count += 1;
    return this.#count;
  }

  fail(code?: string): never {
    throw Object.assign(new Error("failed"), { code });
  }

  async reject(code?: string): Promise<void> {
    this.fail(code);
  }

  open(): Promise<Counter> {
    return Promise.resolve(new Counter());
  }
}

test("translated errors: known codes stay, all else is IO and names the plugin; state and results are the object's", async () => {
  const counter = withPluginErrors('scm plugin "x"', new Counter());
  expect([counter.count(), counter.count(), counter.size]).toEqual([1, 2, 4]);
  for (const subject of [counter, await counter.open()]) {
    for (const call of [(code?: string) => subject.fail(code), (code?: string) => subject.reject(code)]) {
      expect(await codeOf(() => call("NO_SPACE"))).toBe("NO_SPACE");
      expect(await codeOf(() => call("ENOENT"))).toBe("IO");
      expect(await codeOf(() => call("toString"))).toBe("IO");
      expect(await codeOf(() => call())).toBe("IO");
    }
  }
  expect(() => counter.fail()).toThrow(/scm plugin "x": failed/);
});

test("a module that cannot be loaded, or never is, harms no other; each reference is loaded once", async () => {
  const timers = new SimulatedTimers(new SimulatedClock());
  const loaded: string[] = [];
  const importModule = (reference: string): Promise<unknown> => {
    loaded.push(reference);
    if (reference === "./bad.ts") return Promise.reject(new Error("syntax\nerror"));
    if (reference === "./stuck.ts") return new Promise(() => undefined);
    return Promise.resolve({ default: plugin({ name: "good" }) });
  };
  const references = ["./bad.ts", "./stuck.ts", "./good.ts", "./good.ts"];
  const registry = await loadPlugins({ builtIn: [plugin()], references, importModule, timers });
  expect(loaded).toEqual(["./bad.ts", "./stuck.ts", "./good.ts"]);
  expect(registry.list().map(({ name, state, reason }) => ({ name, state, reason }))).toEqual([
    { name: "sample", state: "available", reason: "" },
    { name: "good", state: "available", reason: "" },
    { name: "./bad.ts", state: "unavailable", reason: "it cannot be loaded: syntax error" },
    {
      name: "./stuck.ts",
      state: "unavailable",
      reason: `it cannot be loaded: its module was not ready after ${PLUGIN_LOAD_TIMEOUT_MS / 1000} s`,
    },
  ]);
});
