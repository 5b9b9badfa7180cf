/**
 * Entry of a target's thread: joins the real world, the plugins and the settle thread to a Target, and serves the control
 * side's calls. One of the composition roots (src/main.ts is the process's).
 */
import { BUILT_IN_PLUGINS } from "../plugins/registry.ts";
import { loadPlugins } from "./engine/plugin-loader.ts";
import { Target } from "./engine/target.ts";
import type { TargetCalls } from "./engine/target-calls.ts";
import { serveThreadCalls } from "./engine/thread-call.ts";
import { ThreadSettler } from "./store/thread-settler.ts";
import { hmacSha256 } from "./world/hmac.ts";
import { parentThread, realWorld, spawnThread } from "./world/index.ts";
import { MappedFile } from "./world/mapped-file.ts";
import { moduleImporter } from "./world/module.ts";

const world = realWorld();
const importModule = moduleImporter(process.cwd());

const target = new Target({
  world,
  hmac: hmacSha256,
  loadPlugins: (references) =>
    loadPlugins({ builtIn: BUILT_IN_PLUGINS, references, importModule, timers: world.timers }),
  startSettler: (settings) => {
    const thread = spawnThread(new URL("./settle-thread.ts", import.meta.url), "settle");
    thread.post(settings);
    return new ThreadSettler(thread);
  },
  mappedMemory: (path) => new MappedFile(path),
});

serveThreadCalls<TargetCalls>(parentThread(), {
  start: (settings) => target.start(settings),
  stop: () => target.stop(),
  space: () => target.space(),
  usage: (containers) => target.usage(containers),
  openContainer: (container) => target.openContainer(container),
  setMap: (map) => target.setMap(map),
  mapWanted: () => target.mapWanted(),
  setLease: (untilNs) => target.setLease(untilNs),
  countHandles: (container) => target.countHandles(container),
  createSnapshot: (snapshot) => target.createSnapshot(snapshot),
  listSnapshots: (container) => target.listSnapshots(container),
  destroySnapshot: (snapshot) => target.destroySnapshot(snapshot),
  destroyContainer: (container) => target.destroyContainer(container),
  setQuota: (quota) => target.setQuota(quota),
  scrub: (order) => target.scrub(order),
  scrubStatus: (pool) => target.scrubStatus(pool),
  fillStatus: (question) => target.fillStatus(question),
  counters: () => target.counters(),
  device: () => target.device(),
  deviceFault: () => target.deviceFault(),
  storeDamage: () => target.storeDamage(),
  check: (question) => target.check(question),
  markDevice: (reason) => target.markDevice(reason),
});
