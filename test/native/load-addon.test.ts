/**
 * What loadAddon says of addons that are not there or do not load: a reason that names state, packages and command.
 */
import { expect, test } from "bun:test";
import { loadAddon } from "../../native/load-addon.ts";

const INSTALL = 'Install libisal-dev (Debian package names), then run "npm run setup".';

test("loadAddon gives what the load gave", () => {
  expect(loadAddon<{ answer: number }>("isal", () => ({ answer: 42 }))).toEqual({ addon: { answer: 42 } });
});

test("loadAddon of an addon that was not built names its packages and the command", () => {
  const result = loadAddon("isal", () => require(["./build", "Release", "absent.node"].join("/")) as unknown);
  expect(result).toEqual({ reason: `Cannot load native addon "isal": it is not built. ${INSTALL}` });
});

test("loadAddon of an addon whose library is missing passes on the first line of what the loader said", () => {
  const result = loadAddon("isal", () => {
    throw new Error("libisal.so.2: cannot open shared object file: No such file or directory.\n    at require");
  });
  const state = "libisal.so.2: cannot open shared object file: No such file or directory";
  expect(result).toEqual({ reason: `Cannot load native addon "isal": ${state}. ${INSTALL}` });
});

test("loadAddon without a packages.json, as in the executable, says what the error says", () => {
  const result = loadAddon("absent", () => {
    throw new Error("it is not part of this executable. Use one built where libabsent-dev is installed");
  });
  const reason =
    'Cannot load native addon "absent": it is not part of this executable. Use one built where libabsent-dev is installed.';
  expect(result).toEqual({ reason });
});

test("loadAddon survives a load that throws something else than an error", () => {
  const result = loadAddon("absent", () => {
    // oxlint-disable-next-line no-throw-literal -- foreign code may
    throw "no";
  });
  expect(result).toEqual({ reason: 'Cannot load native addon "absent": no.' });
});
