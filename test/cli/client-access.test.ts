/** The client library fits the shapes that the commands are written against. The compiler is the test. */
import { expect, test } from "bun:test";
import type { ConnectOptions, SystemAccess } from "../../src/cli/client-access.ts";
import { connect } from "../../src/client/index.ts";
import type { World } from "../../src/contracts/world.ts";

test("connect of the client library can be given to the command line", () => {
  const fitting: (world: World, options: ConnectOptions) => Promise<SystemAccess> = connect;
  expect(fitting).toBe(connect);
});
