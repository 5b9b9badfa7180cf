/**
 * Settings of meta-store `etcd`: where the members are, which keys are ours, and how to prove who we are.
 */
import { z } from "zod";

const MOST_ENDPOINTS = 32;
const MAX_PREFIX_BYTES = 256;

const endpoint = z.string().regex(/^(\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+):\d{1,5}$/, 'must be "host:port"');

export const etcdSettings = z
  .strictObject({
    /** Client addresses of the members, `host:port`: name all of them. */
    endpoints: z.array(endpoint).min(1).max(MOST_ENDPOINTS),
    /** All keys begin with it; systems that share an etcd have one each. */
    prefix: z
      .string()
      .min(1)
      .refine((text) => Buffer.byteLength(text) <= MAX_PREFIX_BYTES, `must have at most ${MAX_PREFIX_BYTES} bytes`)
      .refine(
        (text) => text.endsWith("/") && !text.includes("\0") && text.isWellFormed(),
        'must be text that ends in "/"',
      )
      .default("daos/"),
    user: z.string().min(1).optional(),
    /** File with the user's password, without the line break at its end. */
    password_file: z.string().min(1).optional(),
    /** Present: connections are TLS. PEM files. */
    tls: z
      .strictObject({
        /** Who signed the members' certificates; without it the system's authorities count. */
        ca_file: z.string().min(1).optional(),
        /** Ours, for members that ask (`--client-cert-auth`). */
        cert_file: z.string().min(1).optional(),
        key_file: z.string().min(1).optional(),
        /** Name in the members' certificates, where it is not the endpoint's host. */
        server_name: z.string().min(1).optional(),
      })
      .refine((tls) => (tls.cert_file === undefined) === (tls.key_file === undefined), {
        error: "cert_file and key_file belong together",
      })
      .optional(),
    /** Time for one read or commit, all attempts together. */
    request_timeout_ms: z.int().min(500).max(600_000).default(10_000),
  })
  .refine((settings) => (settings.user === undefined) === (settings.password_file === undefined), {
    error: "user and password_file belong together",
  });

export type EtcdSettings = z.infer<typeof etcdSettings>;
