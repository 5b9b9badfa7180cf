import { expect, test } from "bun:test";
import { DkeyLocks, type Unlock } from "../../src/dtx/dkey-locks.ts";

/** Notes when each lock is got. */
function makeRig(): {
  readonly got: string[];
  readonly take: (name: string, how: "shared" | "exclusive") => Promise<Unlock>;
} {
  const locks = new DkeyLocks();
  const got: string[] = [];
  return {
    got,
    take: async (name, how) => {
      const unlock = await locks[how]("dkey");
      got.push(name);
      return unlock;
    },
  };
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

test("updates share a dkey; one that needs it alone waits for them, and those that came later for it", async () => {
  const { got, take } = makeRig();
  const first = await take("update 1", "shared");
  const second = await take("update 2", "shared");
  const alone = take("fold", "exclusive");
  const third = take("update 3", "shared");
  const fourth = take("update 4", "shared");
  first();
  await turn();
  expect(got).toEqual(["update 1", "update 2"]);
  second();
  const unlock = await alone;
  await turn();
  expect(got).toEqual(["update 1", "update 2", "fold"]);
  unlock();
  await Promise.all([third, fourth]);
  expect(got).toEqual(["update 1", "update 2", "fold", "update 3", "update 4"]);
});

test("a lock is given back once, however often that is said", async () => {
  const { got, take } = makeRig();
  const first = await take("update 1", "shared");
  await take("update 2", "shared");
  void take("fold", "exclusive");
  first();
  first();
  await turn();
  expect(got).toEqual(["update 1", "update 2"]);
});

test("dkeys are locked one by one", async () => {
  const locks = new DkeyLocks();
  await locks.exclusive("one");
  await locks.exclusive("another");
});
