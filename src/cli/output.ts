/**
 * What a command says. Results go to standard output: text for people, or with --json one object or one array (an
 * element a line, so that a list of any length streams in bounded memory). Messages and errors go to standard error as
 * `daos: <message>`. Guarantees that with --json standard output is valid JSON even when a command fails half-way.
 */
import { createConsola } from "consola/core";
import type { DaosError } from "../base/errors.ts";
import { isBrokenPipe, streamFailure } from "./stream-failure.ts";
import type { OutputStream } from "./environment.ts";

/** Lines of a list are gathered up to this many characters a write. */
const LIST_WRITE_CHARACTERS = 32 * 1024;

type Messages = Pick<ReturnType<typeof createConsola>, "info" | "warn" | "error">;

export class Output {
  readonly json: boolean;
  /** For people: `info`, `warn`, `error`, each one line on standard error. */
  readonly messages: Messages;
  readonly #stdout: OutputStream;
  readonly #stderr: OutputStream;
  #messageWrites: Promise<void> = Promise.resolve();
  #errorInList = false;

  constructor(stdout: OutputStream, stderr: OutputStream, json: boolean) {
    this.#stdout = stdout;
    this.#stderr = stderr;
    this.json = json;
    // Throttling would need a timer of consola's own.
    this.messages = createConsola({
      throttle: 0,
      reporters: [
        {
          log: ({ type, args }) => this.#message(`daos: ${type === "warn" ? "warning: " : ""}${args.join(" ")}\n`),
        },
      ],
    });
  }

  /** One result: the object with --json, else the text. */
  async result(value: object, text: string): Promise<void> {
    await this.text(this.json ? `${JSON.stringify(value)}\n` : text);
  }

  /** Text on standard output, as it is. */
  async text(text: string): Promise<void> {
    if (text !== "") await this.bytes(Buffer.from(text, "utf8"));
  }

  /** Bytes on standard output, as they are. */
  async bytes(bytes: Uint8Array): Promise<void> {
    try {
      await this.#stdout.write(bytes);
    } catch (error) {
      throw streamFailure("write standard output", error);
    }
  }

  /** A list of any length: `toJson` gives an element's object, `toText` its line without the newline. */
  async list<Item>(
    items: AsyncIterable<Item> | Iterable<Item>,
    toJson: (item: Item) => object,
    toText: (item: Item) => string,
  ): Promise<void> {
    let pending = this.json ? "[" : "";
    let separator = "\n";
    try {
      for await (const item of items) {
        pending += this.json ? separator + JSON.stringify(toJson(item)) : `${toText(item)}\n`;
        separator = ",\n";
        if (pending.length < LIST_WRITE_CHARACTERS) continue;
        await this.text(pending);
        pending = "";
      }
    } catch (error) {
      if (!isBrokenPipe(error)) await this.#endFailedList(pending, separator, error as Error);
      throw error;
    }
    await this.text(pending + (this.json ? "\n]\n" : ""));
  }

  /** Reports the error a command ends with, on standard error and, with --json, on standard output. */
  async failed(error: DaosError): Promise<void> {
    this.messages.error(error.message);
    await this.flush();
    if (this.json && !this.#errorInList) await this.text(`${JSON.stringify(errorObject(error))}\n`);
  }

  /** Resolves when every message is written. */
  async flush(): Promise<void> {
    await this.#messageWrites;
  }

  /** The list began: close it with the error as its last element, so that the JSON is valid and the failure seen. */
  async #endFailedList(pending: string, separator: string, error: Error): Promise<void> {
    if (!this.json) {
      await this.text(pending);
      return;
    }
    if (pending === "[") return;
    this.#errorInList = true;
    await this.text(`${pending}${separator}${JSON.stringify(errorObject(error))}\n]\n`);
  }

  #message(line: string): void {
    this.#messageWrites = this.#messageWrites
      .then(() => this.#stderr.write(Buffer.from(line, "utf8")))
      .catch((error: unknown) => {
        if (!isBrokenPipe(error)) throw error;
      });
  }
}

function errorObject(error: Error & { code?: unknown }): object {
  return { error: { code: error.code ?? "INTERNAL", message: error.message } };
}
