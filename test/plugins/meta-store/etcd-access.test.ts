/**
 * Who may use etcd: certificates, users, and what is said to those who may not; and settings that cannot be right.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import metaStoreEtcd from "../../../plugins/meta-store/etcd/index.ts";
import { etcdSettings } from "../../../plugins/meta-store/etcd/settings.ts";
import { bytesOf } from "../../../src/base/bytes.ts";
import type { MetaStore } from "../../../src/contracts/meta-store.ts";
import { realWorld } from "../../../src/world/index.ts";
import { codeOf, expectCode } from "../../conformance/support.ts";
import { Authority, type CertificateFiles, OPENSSL_MISSING } from "../../fixtures/certificates.ts";
import { ETCD_MISSING, EtcdCluster } from "../../fixtures/etcd-cluster.ts";

const MISSING = ETCD_MISSING ?? OPENSSL_MISSING;
if (MISSING !== undefined) console.error(`meta-store etcd, access: skipped, ${MISSING}`);
setDefaultTimeout(30_000);

const open = (settings: object): Promise<MetaStore> =>
  metaStoreEtcd
    .create(etcdSettings.parse({ request_timeout_ms: 3_000, ...settings }))
    .open(realWorld(), { folder: "" });

async function works(settings: object): Promise<void> {
  const store = await open(settings);
  await store.commit([], [{ put: "a", value: bytesOf("1") }]);
  expect((await store.get("a"))?.value).toEqual(new Uint8Array(bytesOf("1")));
  await store.close();
}

async function refusal(settings: object): Promise<{ code: unknown; message: string }> {
  try {
    await (await open(settings)).close();
    return { code: "no error", message: "" };
  } catch (error) {
    return { code: (error as { code?: unknown }).code, message: (error as Error).message };
  }
}

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "daos-test-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.skipIf(MISSING !== undefined)("TLS", () => {
  let cluster: EtcdCluster;
  let ours: Authority;
  let theirs: Authority;
  let client: CertificateFiles;
  let stranger: CertificateFiles;

  beforeAll(async () => {
    ours = new Authority(folder, "ours");
    theirs = new Authority(folder, "theirs");
    const server = ours.sign("server", "IP:127.0.0.1");
    client = ours.sign("client", "DNS:client");
    stranger = theirs.sign("stranger", "DNS:stranger");
    cluster = await EtcdCluster.start({ tls: { ...server, clientAuthorityFile: ours.certFile } });
  });
  afterAll(() => cluster.stop());

  const tls = (ca: Authority, { certFile, keyFile }: CertificateFiles, more = {}) => ({
    endpoints: cluster.endpoints,
    tls: { ca_file: ca.certFile, cert_file: certFile, key_file: keyFile, ...more },
  });

  test("with the right authority and a certificate of ours it serves, and watches", async () => {
    await works(tls(ours, client));
    const store = await open(tls(ours, client));
    const told = new Promise<string>((resolve) => void store.watch("w", ({ key }) => resolve(key)));
    await store.commit([], [{ put: "w", value: bytesOf("1") }]);
    expect(await told).toBe("w");
    await store.close();
  });

  test("a server that another authority signed: PERMISSION, at once", async () => {
    const startedNs = Bun.nanoseconds();
    const { code, message } = await refusal(tls(theirs, client));
    expect(code).toBe("PERMISSION");
    expect(message).toContain("TLS failed");
    expect((Bun.nanoseconds() - startedNs) / 1e6).toBeLessThan(2_000);
  });

  test("a server whose certificate has another name: PERMISSION", async () => {
    const { code, message } = await refusal(tls(ours, client, { server_name: "elsewhere" }));
    expect({ code, named: message.includes("server_name") }).toEqual({ code: "PERMISSION", named: true });
  });

  test("a server whose certificate is for another address: PERMISSION", async () => {
    const elsewhere = await EtcdCluster.start({ tls: ours.sign("elsewhere", "IP:127.0.0.2,DNS:etcd") });
    const { endpoints } = elsewhere;
    const { code, message } = await refusal({ endpoints, tls: { ca_file: ours.certFile } });
    await works({ endpoints, tls: { ca_file: ours.certFile, server_name: "etcd" } });
    await elsewhere.stop();
    expect({ code, isTls: message.includes("TLS failed") }).toEqual({ code: "PERMISSION", isTls: true });
  });

  test("without a certificate of ours, or with a stranger's, or without TLS: refused", async () => {
    const bare = { endpoints: cluster.endpoints, tls: { ca_file: ours.certFile } };
    for (const settings of [bare, tls(ours, stranger), { endpoints: cluster.endpoints }]) {
      expect(["PERMISSION", "UNAVAILABLE"]).toContain((await refusal(settings)).code as string);
    }
  });

  test("files that are not there, or are no certificates: CONFIGURATION, with the name", async () => {
    const path = join(folder, "absent.crt");
    const { code, message } = await refusal(tls(ours, client, { ca_file: path }));
    expect({ code, named: message.includes(path) }).toEqual({ code: "CONFIGURATION", named: true });
    const wrong = join(folder, "wrong.crt");
    writeFileSync(wrong, "no certificate");
    expect((await refusal(tls(ours, { certFile: wrong, keyFile: client.keyFile }))).code).toBe("CONFIGURATION");
  });
});

describe.skipIf(ETCD_MISSING !== undefined)("users", () => {
  let cluster: EtcdCluster;
  const passwordFile = (name: string, password: string): string => {
    const path = join(folder, name);
    writeFileSync(path, `${password}\n`, { mode: 0o600 });
    return path;
  };

  beforeAll(async () => {
    cluster = await EtcdCluster.start();
    const encoded = (text: string) => Buffer.from(text).toString("base64");
    const range = { key: encoded("daos/"), range_end: encoded("daos0") };
    await cluster.post("auth/role/add", { name: "root" });
    await cluster.post("auth/user/add", { name: "root", password: "root" });
    await cluster.post("auth/user/grant", { user: "root", role: "root" });
    await cluster.post("auth/role/add", { name: "daos" });
    await cluster.post("auth/role/grant", { name: "daos", perm: { permType: "READWRITE", ...range } });
    await cluster.post("auth/user/add", { name: "daos", password: "secret" });
    await cluster.post("auth/user/grant", { user: "daos", role: "daos" });
    await cluster.post("auth/enable", {});
  });
  afterAll(() => cluster.stop());

  const user = (password = "secret") => ({
    endpoints: cluster.endpoints,
    user: "daos",
    password_file: passwordFile(`password-${password}`, password),
  });

  test("a user whose role covers the prefix is served", async () => {
    await works(user());
  });

  test("no user, a wrong password, a prefix that is another's: PERMISSION, with what to do", async () => {
    const wrong = [
      [{ endpoints: cluster.endpoints }, "user and password_file"],
      [user("wrong"), "user and password_file"],
      [{ ...user(), prefix: "other/" }, "prefix"],
    ] as const;
    for (const [settings, advice] of wrong) {
      const { code, message } = await refusal(settings);
      expect({ code, advised: message.includes(advice) }).toEqual({ code: "PERMISSION", advised: true });
    }
  });

  test("after a restart of etcd, which forgets who signed in, it goes on; watchers too", async () => {
    const store = await open({ ...user(), request_timeout_ms: 10_000 });
    const told: string[] = [];
    store.watch("w", ({ key }) => told.push(key));
    await store.commit([], [{ put: "w1", value: bytesOf("1") }]);
    await cluster.killMember(0);
    cluster.startMember(0);
    await store.commit([], [{ put: "w2", value: bytesOf("1") }]);
    for (let waits = 0; waits < 200 && told.length < 2; waits += 1) await Bun.sleep(50);
    expect(told).toEqual(["w1", "w2"]);
    await store.close();
  });
});

test("settings that cannot be right are refused with the key's name", () => {
  const wrong: readonly [object, string][] = [
    [{}, "endpoints"],
    [{ endpoints: [] }, "endpoints"],
    [{ endpoints: ["http://a:1"] }, "endpoints"],
    [{ endpoints: ["a"] }, "endpoints"],
    [{ endpoints: ["a:1"], prefix: "daos" }, "prefix"],
    [{ endpoints: ["a:1"], user: "x" }, "password_file"],
    [{ endpoints: ["a:1"], tls: { cert_file: "x" } }, "key_file"],
    [{ endpoints: ["a:1"], other: 1 }, "other"],
  ];
  for (const [settings, word] of wrong) {
    const result = etcdSettings.safeParse(settings);
    expect(JSON.stringify(result.error?.issues ?? [])).toContain(word);
  }
  expect(etcdSettings.safeParse({ endpoints: ["[::1]:2379", "host.example:2379"] }).success).toBe(true);
});

test("a password file that is not there: CONFIGURATION", async () => {
  const settings = { endpoints: ["127.0.0.1:1"], user: "a", password_file: join(folder, "absent") };
  expect(await codeOf(() => open(settings))).toBe("CONFIGURATION");
  await expectCode("UNAVAILABLE", () => open({ endpoints: ["127.0.0.1:1"], request_timeout_ms: 500 }));
});
