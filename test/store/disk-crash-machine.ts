/**
 * The machine of the crash tests with an scm plugin in it: the region is the plugin's, on a simulated disk that loses
 * power with the rest. Power goes in the middle of the write of a persist: torn at sectors, or left undone. The plugin
 * keeps its region in a file `scm` in the target's folder, and nothing else in it.
 */
import type { ScmProvider, ScmRegion } from "../../src/contracts/scm.ts";
import { SimulatedDisk } from "../simulation/disk.ts";
import { SimulatedDatagrams } from "../simulation/datagrams.ts";
import { SimulatedNetwork } from "../simulation/network.ts";
import { CrashMachine, type MachineOptions, type OpenScm } from "./crash-machine.ts";

export class DiskCrashMachine extends CrashMachine {
  readonly #provider: ScmProvider;
  readonly #disk: SimulatedDisk;

  constructor(options: MachineOptions, provider: ScmProvider) {
    super(options);
    this.#provider = provider;
    this.#disk = new SimulatedDisk(this.random.fork(), this.clock, this.timers);
  }

  override losePower(where: string): void {
    super.losePower(where);
    this.#disk.losePower();
  }

  override restart(): void {
    super.restart();
    this.#disk.restorePower();
  }

  override async openScm(create: boolean): Promise<OpenScm> {
    const { clock, timers, random } = this;
    this.#disk.timers = timers;
    const network = new SimulatedNetwork(random.fork(), timers, () => clock.monotonicNs());
    const datagrams = new SimulatedDatagrams(random, timers);
    const world = { clock, timers, random, network, datagrams, disk: this.#disk };
    const options = { folder: "/target", sizeBytes: this.regionMedium.length, create };
    const inner = await this.#provider.open(world, options);
    const region: ScmRegion = {
      bytes: inner.bytes,
      granularityBytes: inner.granularityBytes,
      persist: this.#persistOf(inner),
      close: () => inner.close(),
    };
    const file = this.#disk.openFile(`${options.folder}/scm`, { readOnly: true });
    const readLog = (offset: number, length: number): Uint8Array => {
      const bytes = new Uint8Array(length);
      file.readSync(bytes, offset);
      return bytes;
    };
    return { region, readLog };
  }

  /** The region's persist, at which power can fail. */
  #persistOf(inner: ScmRegion): ScmRegion["persist"] {
    const { life } = this;
    return (offset, length) => {
      this.checkLife(life);
      if (this.lies()) return undefined;
      if (this.steps + 1 >= this.crashAt) this.#disk.losePowerAt(this.#disk.operations + 1);
      const pending = inner.persist(offset, length);
      // Nobody is there any more to hear how it ended.
      if (this.steps + 1 >= this.crashAt) pending?.catch(() => undefined);
      this.step("persist");
      return pending;
    };
  }
}
