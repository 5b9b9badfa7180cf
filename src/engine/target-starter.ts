/**
 * Starts the threads of an engine's targets: what each is told of its storage, its device and the system, and what all of
 * them answered.
 */
import { DaosError, hasCode } from "../base/errors.ts";
import { MIB } from "../base/limits.ts";
import type { Uuid } from "../base/uuid.ts";
import type { Thread, World } from "../contracts/world.ts";
import type { EngineAddress } from "../format/engine-operations.ts";
import type { StorageSuperblock } from "../format/storage-superblock.ts";
import { type Configuration, targetPort } from "./configuration.ts";
import { devicePathOf } from "./device-configuration.ts";
import type { TargetDeviceSettings } from "./device-opening.ts";
import { DeviceTable } from "./device-table.ts";
import { type OpenStorage, saveSuperblock, targetFolder } from "./storage-folder.ts";
import type { TargetCalls, TargetSettings } from "./target-calls.ts";
import { DamagedTargets, isToRenew, noteRenewed } from "./target-renewal.ts";
import { Targets } from "./targets.ts";
import { ThreadCaller } from "./thread-call.ts";

/** The log takes a quarter of a target's SCM, at most this; the settled index has the rest. */
export const MAX_LOG_BYTES = 128 * MIB;
const LOG_UNIT_BYTES = 1 * MIB;

export interface TargetStarterParts {
  readonly world: World;
  readonly configuration: Configuration;
  readonly software: string;
  readonly spawnTarget: (index: number) => Thread;
  /** Also overwrites what the devices hold. */
  readonly force: boolean;
  readonly rank: number;
  readonly capabilityKey: Uint8Array;
  /** Hears that a thread has ended. */
  readonly fail: (error: Error) => void;
  /** Rejects when a thread has ended. */
  readonly failed: Promise<never>;
}

export interface StartedTargets {
  readonly targets: Targets;
  readonly addresses: readonly EngineAddress[];
  readonly notices: string[];
  readonly table: DeviceTable;
  /** Targets that were damaged and are made anew. */
  readonly renewed: readonly number[];
}

export class TargetStarter {
  readonly threads: Thread[] = [];
  /** Targets that are made anew. */
  #renewed: readonly number[] = [];
  readonly #parts: TargetStarterParts;

  constructor(parts: TargetStarterParts) {
    this.#parts = parts;
  }

  /** Rejects with the first failure of a target. The threads are the caller's to end. */
  async run(storage: OpenStorage): Promise<StartedTargets> {
    const { world, spawnTarget, configuration, fail, failed } = this.#parts;
    const { targets: count } = storage.superblock;
    this.#renewed = Array.from({ length: count }, (_, index) => index).filter((index) =>
      isToRenew(world.disk, targetFolder(configuration.storage, index)),
    );
    const callers = Array.from({ length: count }, (_value, index) => {
      const thread = spawnTarget(index);
      this.threads.push(thread);
      return new ThreadCaller<TargetCalls>(thread, (error) => {
        fail(error ?? new DaosError("UNAVAILABLE", `Cannot go on: the thread of target ${index} has ended.`));
      });
    });
    const starts = callers.map((caller, index) => caller.call("start", this.#settings(storage, index)));
    const outcomes = await Promise.race([Promise.allSettled(starts), failed]);
    const ready = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
    if (ready.length < outcomes.length) throw failureOf(outcomes);
    const addresses = ready.map(({ host, port }) => ({ host, port }));
    const notices = ready.flatMap((target, index) => target.notices.map((notice) => `target ${index}: ${notice}`));
    for (const index of this.#renewed) noteRenewed(world.disk, targetFolder(configuration.storage, index));
    const speed = ready.map((target) => target.speed).find((measured) => measured !== undefined);
    const { superblock } = storage;
    const table = new DeviceTable(speed === undefined ? superblock : { ...superblock, speed }, (changed) =>
      saveSuperblock(world.disk, configuration.storage, changed),
    );
    if (superblock.devices.some(({ successor }) => successor !== undefined)) table.completeSuccession();
    const targets = new Targets(callers, world.clock, world.timers, table.superblock.speed);
    return { targets, addresses, notices, table, renewed: this.#renewed };
  }

  #settings({ superblock, format }: OpenStorage, index: number): TargetSettings {
    const { configuration, capabilityKey, software } = this.#parts;
    const { listen, scm, nvme, plugins, storage } = configuration;
    const device = nvme.devices[superblock.devices.findIndex(({ targets }) => targets.includes(index))]!;
    const logBytes = logSize(superblock);
    return {
      index,
      folder: targetFolder(storage, index),
      create: format,
      renew: this.#renewed.includes(index),
      host: listen.host,
      port: targetPort(configuration, index),
      scm: { plugin: scm.plugin, sizeBytes: logBytes, config: scm.config },
      nvme: { plugin: device.plugin, sizeBytes: superblock.nvme.targetSizeBytes, config: device.config },
      device: this.#deviceSettings({ superblock, format }, index),
      indexBytes: superblock.scm.targetSizeBytes - logBytes,
      plugins,
      capabilityKey,
      software,
    };
  }

  #deviceSettings({ superblock, format }: OpenStorage, target: number): TargetDeviceSettings {
    const { configuration, force, rank } = this.#parts;
    const { devices, faults } = configuration.nvme;
    const index = superblock.devices.findIndex(({ targets }) => targets.includes(target));
    const device = superblock.devices[index]!;
    const isNew = device.successor !== undefined;
    return {
      owner: {
        system: superblock.id as Uuid,
        systemName: superblock.system,
        engine: superblock.engine as Uuid,
        rank,
        device: (device.successor ?? device.id) as Uuid,
        targets: device.targets,
        target,
      },
      name: devicePathOf(devices[index]!) ?? `${device.plugin} of ${targetFolder(configuration.storage, target)}`,
      isLabelled: device.labelled || isNew,
      isNew,
      force: force && format,
      fault: isNew ? "" : device.reason,
      mayBeAbsent: superblock.devices.length > 1,
      faults,
    };
  }
}

/** What the start of the engine fails with. */
function failureOf(outcomes: readonly PromiseSettledResult<unknown>[]): unknown {
  const reasons = outcomes.map((outcome) => (outcome.status === "rejected" ? (outcome.reason as unknown) : undefined));
  const other = reasons.find((reason) => reason !== undefined && !hasCode(reason, "CORRUPT"));
  if (other !== undefined) return other;
  const damaged = reasons.flatMap((reason, index) => (reason === undefined ? [] : [index]));
  return new DamagedTargets((reasons[damaged[0]!] as DaosError).message, damaged);
}

/** The log's part of a target's SCM: whole units. */
function logSize({ scm }: StorageSuperblock): number {
  return Math.floor(Math.min(MAX_LOG_BYTES, scm.targetSizeBytes / 4) / LOG_UNIT_BYTES) * LOG_UNIT_BYTES;
}
