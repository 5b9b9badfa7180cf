/**
 * Foreign plugins bring their own copy of the error class, or none: an error of theirs is known by its `code`. This
 * wraps what such a plugin provides so that all it throws or rejects with is a DaosError of ours; an error without a code
 * of the table becomes IO and names the plugin. Built-in plugins are not wrapped.
 */
import { DaosError, ERROR_CODES, type ErrorCode, hasCode } from "../base/errors.ts";

/** Methods whose result is itself wrapped: what a provider opens. */
const OPENING_METHODS: ReadonlySet<PropertyKey> = new Set(["open", "scheme"]);

/** The error as a DaosError. `plugin` names who failed, such as `scm plugin "pmem"`. */
export function pluginError(plugin: string, error: unknown): DaosError {
  if (error instanceof DaosError) return error;
  const code = (error as { code?: unknown } | null)?.code;
  const text = error instanceof Error ? error.message : String(error);
  if (typeof code === "string" && Object.hasOwn(ERROR_CODES, code)) {
    return new DaosError(code as ErrorCode, text, { cause: error });
  }
  return new DaosError("IO", `Cannot go on in ${plugin}: ${text}. Report this to the plugin's author.`, {
    cause: error,
  });
}

/** The same object, its methods' failures translated. Methods keep their own `this`. */
export function withPluginErrors<Wrapped extends object>(plugin: string, wrapped: Wrapped): Wrapped {
  const methods = new Map<PropertyKey, unknown>();
  return new Proxy(wrapped, {
    get(target, key) {
      const known = methods.get(key);
      if (known !== undefined) return known;
      const member: unknown = Reflect.get(target, key, target);
      if (typeof member !== "function") return member;
      const method = translated(plugin, target, member as Method, OPENING_METHODS.has(key));
      methods.set(key, method);
      return method;
    },
  });
}

type Method = (...values: unknown[]) => unknown;

function translated(plugin: string, target: object, method: Method, opens: boolean): Method {
  const finish = (result: unknown): unknown =>
    opens && typeof result === "object" && result !== null ? withPluginErrors(plugin, result) : result;
  return (...values) => {
    try {
      const result = method.apply(target, values);
      if (!(result instanceof Promise)) return finish(result);
      return result.then(finish, (error: unknown) => {
        throw pluginError(plugin, error);
      });
    } catch (error) {
      throw pluginError(plugin, error);
    }
  };
}

/** A plugin that is named in the configuration and not there is the configuration's fault. */
export async function configured<Result>(plugin: Promise<Result>): Promise<Result> {
  try {
    return await plugin;
  } catch (error) {
    if (!hasCode(error, "NOT_FOUND")) throw error;
    throw new DaosError("CONFIGURATION", error.message, { cause: error });
  }
}
