/**
 * Mount points of file systems, from the text of /proc/self/mountinfo (proc(5)). Pure.
 */
export interface PmemMount {
  /** Such as `/dev/pmem0`. */
  readonly device: string;
  readonly folder: string;
  readonly fileSystem: string;
  /** Mounted so that files are mapped memory, as far as the options say: `dax`, `dax=always`. */
  readonly dax: boolean;
}

/** One for each line that names a device. */
export function mountsOf(mountinfo: string): PmemMount[] {
  return mountinfo.split("\n").flatMap((line) => {
    const [mount, source] = line.split(" - ");
    const folder = mount?.split(" ")[4];
    const [fileSystem, device, options] = source?.split(" ") ?? [];
    if (folder === undefined || fileSystem === undefined || device?.startsWith("/dev/") !== true) return [];
    const dax = (options ?? "").split(",").some((option) => option === "dax" || option === "dax=always");
    return [{ device, folder: unescaped(folder), fileSystem, dax }];
  });
}

/** Blanks and their like are written `\040`. */
function unescaped(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
