/**
 * Who serves the device: a process that this program starts, one that an operator runs and this program commands, or one
 * that is simply there. One for each opened device.
 */
export interface BackEnd {
  /** What messages call the device. */
  readonly deviceName: string;
  /** Brings it up and resolves with the path of its socket; also after it was lost, any number of times. Typed errors. */
  start(): Promise<string>;
  /** The connection broke: does what it can to bring it back, in the background. */
  lost(): void;
  /** The connection is there again. */
  restored(): void;
  /** A request failed: looks, in the background, whether the device behind it is still there. */
  doubt(): void;
  /** The device behind the back-end was taken away. */
  isRemoved(): boolean;
  /** The client has gone: takes down what `start` put up. Never rejects; bounded in time. */
  stop(): Promise<void>;
}

/** A back-end that somebody else runs. */
export class ExistingBackEnd implements BackEnd {
  readonly deviceName: string;

  constructor(socketPath: string) {
    this.deviceName = socketPath;
  }

  async start(): Promise<string> {
    return this.deviceName;
  }

  lost(): void {}

  restored(): void {}

  doubt(): void {}

  isRemoved(): boolean {
    return false;
  }

  async stop(): Promise<void> {}
}
