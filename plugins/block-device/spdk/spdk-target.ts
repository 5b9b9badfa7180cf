/**
 * Has a running spdk_tgt serve a device: attaches the NVMe controller (or opens a kernel block device), makes one vhost
 * controller for it, which all targets of the node share, and takes both down in the opposite order when the last client
 * has gone. All of it may be repeated: what is there already is used, so a restarted spdk_tgt is set up again.
 *
 * SPDK's answers are data: each is checked before use. Who starts spdk_tgt is the operator's unit.
 */
import { z } from "zod";
import { DaosError } from "../../../src/base/errors.ts";
import type { Timers } from "../../../src/contracts/world.ts";
import type { BackEnd } from "./back-end.ts";
import { SpdkRpc, SpdkRpcError } from "./spdk-rpc.ts";

/** Our client's end takes SPDK a moment to notice; a device is not taken down under others. */
const LEAVE_TRIES = 20;
const LEAVE_PAUSE_MS = 100;
const SET_UP_PAUSE_MS = 500;

export interface SpdkTargetOptions {
  readonly timers: Timers;
  readonly rpcSocket: string;
  readonly rpcTimeoutMs: number;
  readonly kind: "nvme" | "kdev";
  /** PCI address of an NVMe device, or path of a kernel block device. */
  readonly device: string;
  /** Namespace of the NVMe device. */
  readonly namespace: number;
  /** Cores of SPDK that serve it, such as "0x2". */
  readonly cpumask?: string | undefined;
  readonly writable: boolean;
  readonly blockBytes: number;
}

const bdevSchema = z.array(
  z.object({
    name: z.string(),
    block_size: z.int().positive(),
    num_blocks: z.int().positive(),
    supported_io_types: z.object({ read: z.boolean(), write: z.boolean() }),
  }),
);
const vhostSchema = z.array(
  z.object({
    ctrlr: z.string(),
    socket: z.string(),
    sessions: z.array(z.unknown()).default([]),
    backend_specific: z.object({ block: z.object({ bdev: z.string().nullable() }) }),
  }),
);
const namesSchema = z.array(z.string());

type VhostController = z.output<typeof vhostSchema>[number];

export class SpdkTarget implements BackEnd {
  readonly deviceName: string;
  readonly #options: SpdkTargetOptions;
  readonly #rpc: SpdkRpc;
  readonly #name: string;
  readonly #controller: string;
  #removed = false;
  #doubting = false;
  #reviving = false;
  #stopped = false;

  constructor(options: SpdkTargetOptions) {
    this.#options = options;
    this.deviceName = options.device;
    this.#rpc = new SpdkRpc(options.timers, options.rpcSocket, options.rpcTimeoutMs);
    this.#name = `daos_${options.device.replaceAll(/[^A-Za-z0-9]+/g, "_").replace(/^_/, "")}`;
    this.#controller = `${this.#name}.vhost`;
  }

  async start(): Promise<string> {
    await this.#call("spdk_get_version");
    const existing = await this.#vhostController();
    if (existing !== undefined && existing.backend_specific.block.bdev !== null) {
      this.#removed = false;
      return existing.socket;
    }
    // What SPDK leaves of a device that was pulled never gets another one.
    if (existing !== undefined) await this.#call("vhost_delete_controller", { ctrlr: this.#controller });
    const bdev = this.#options.kind === "nvme" ? await this.#attachNvme() : await this.#openKernelDevice();
    await this.#checkBdev(bdev);
    await this.#createController(bdev);
    const controller = await this.#vhostController();
    if (controller === undefined || controller.backend_specific.block.bdev === null) {
      throw this.#error("UNAVAILABLE", "its vhost controller is not there or has no device", "See the log of spdk_tgt");
    }
    this.#removed = false;
    return controller.socket;
  }

  /** spdk_tgt was restarted, or the device pulled: sets up again until it succeeds or is stopped. */
  lost(): void {
    if (this.#reviving || this.#stopped) return;
    this.#reviving = true;
    this.start().then(
      () => {
        this.#reviving = false;
      },
      () => {
        this.#options.timers.after(SET_UP_PAUSE_MS, () => {
          this.#reviving = false;
          if (!this.#stopped) this.lost();
        });
      },
    );
  }

  restored(): void {}

  doubt(): void {
    if (this.#doubting || this.#stopped) return;
    this.#doubting = true;
    const done = (): void => {
      this.#doubting = false;
    };
    this.#vhostController().then((controller) => {
      done();
      if (controller === undefined || controller.backend_specific.block.bdev !== null) return;
      this.#removed = true;
      this.lost();
    }, done);
  }

  isRemoved(): boolean {
    return this.#removed;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    try {
      if (!(await this.#isLast())) return;
      // The names are ours: whichever target is the last one takes down what the first one put up.
      await this.#call("vhost_delete_controller", { ctrlr: this.#controller });
      if (this.#options.kind === "nvme") await this.#call("bdev_nvme_detach_controller", { name: this.#name });
      else await this.#call("bdev_aio_delete", { name: this.#name });
    } catch {
      // What is left serves the next start as it is.
    }
  }

  /** Whether no client is left; waits a little for our own to go. */
  async #isLast(): Promise<boolean> {
    for (let attempt = 0; attempt < LEAVE_TRIES; attempt += 1) {
      const controller = await this.#vhostController();
      if (controller === undefined || controller.sessions.length === 0) return true;
      await new Promise<void>((resolve) => this.#options.timers.after(LEAVE_PAUSE_MS, resolve));
    }
    return false;
  }

  async #attachNvme(): Promise<string> {
    const { device, namespace } = this.#options;
    const wanted = `${this.#name}n${namespace}`;
    if (await this.#hasBdev(wanted)) return wanted;
    const params = { name: this.#name, trtype: "PCIe", traddr: device };
    let names: string[] = [];
    try {
      names = this.#parse(
        "bdev_nvme_attach_controller",
        namesSchema,
        await this.#call("bdev_nvme_attach_controller", params),
      );
    } catch (error) {
      // Another target of this node may have attached it in the meantime.
      if (!(error instanceof SpdkRpcError)) throw error;
      if (await this.#hasBdev(wanted)) return wanted;
      const advice = "Bind it to vfio-pci, allow it to spdk_tgt (-A), and see that nobody else has it";
      throw this.#error("UNAVAILABLE", `SPDK does not attach it: ${error.message}`, advice);
    }
    if (names.includes(wanted)) return wanted;
    const found = names.length === 0 ? "none" : names.join(", ");
    throw this.#error("NOT_FOUND", `namespace ${namespace} is not usable, SPDK found ${found}`, "Format the namespace");
  }

  async #openKernelDevice(): Promise<string> {
    if (await this.#hasBdev(this.#name)) return this.#name;
    const { device, blockBytes } = this.#options;
    try {
      await this.#call("bdev_aio_create", { name: this.#name, filename: device, block_size: blockBytes });
    } catch (error) {
      if (!(error instanceof SpdkRpcError)) throw error;
      if (await this.#hasBdev(this.#name)) return this.#name;
      throw this.#error("UNAVAILABLE", `SPDK does not open it: ${error.message}`, "Check the path and its rights");
    }
    return this.#name;
  }

  async #hasBdev(name: string): Promise<boolean> {
    try {
      await this.#call("bdev_get_bdevs", { name });
      return true;
    } catch (error) {
      if (error instanceof SpdkRpcError) return false;
      throw error;
    }
  }

  async #checkBdev(name: string): Promise<void> {
    const [bdev] = this.#parse("bdev_get_bdevs", bdevSchema, await this.#call("bdev_get_bdevs", { name }));
    if (bdev === undefined) throw this.#error("NOT_FOUND", `SPDK knows no "${name}"`, "See the log of spdk_tgt");
    if (!bdev.supported_io_types.read) throw this.#error("UNSUPPORTED", "it cannot be read", "Use another device");
  }

  async #createController(bdev: string): Promise<void> {
    const { cpumask, writable } = this.#options;
    const params = {
      ctrlr: this.#controller,
      dev_name: bdev,
      ...(cpumask === undefined ? {} : { cpumask }),
      ...(writable ? {} : { readonly: true }),
    };
    try {
      await this.#call("vhost_create_blk_controller", params);
    } catch (error) {
      if (!(error instanceof SpdkRpcError)) throw error;
      if ((await this.#vhostController()) !== undefined) return;
      const advice = "See that nothing else in spdk_tgt claims it, an lvol store say";
      throw this.#error("UNAVAILABLE", `SPDK makes no vhost controller: ${error.message}`, advice);
    }
  }

  async #vhostController(): Promise<VhostController | undefined> {
    try {
      const answer = await this.#call("vhost_get_controllers", { name: this.#controller });
      const controllers = this.#parse("vhost_get_controllers", vhostSchema, answer);
      return controllers.find((controller) => controller.ctrlr === this.#controller);
    } catch (error) {
      if (error instanceof SpdkRpcError) return undefined;
      throw error;
    }
  }

  #call(method: string, params?: Readonly<Record<string, unknown>>): Promise<unknown> {
    return this.#rpc.call(method, params);
  }

  #parse<Value>(method: string, schema: z.ZodType<Value>, answer: unknown): Value {
    const parsed = schema.safeParse(answer);
    if (parsed.success) return parsed.data;
    const issue = parsed.error.issues[0];
    const where = issue === undefined ? "" : ` at ${issue.path.join(".")}: ${issue.message}`;
    throw this.#error(
      "PROTOCOL",
      `SPDK answers ${method} in an unknown form${where}`,
      "Use a supported release of SPDK",
    );
  }

  #error(code: "UNAVAILABLE" | "NOT_FOUND" | "UNSUPPORTED" | "PROTOCOL", state: string, advice: string): DaosError {
    return new DaosError(code, `Cannot use "${this.#options.device}" through SPDK: ${state}. ${advice}.`);
  }
}
