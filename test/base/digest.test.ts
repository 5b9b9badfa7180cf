import { expect, test } from "bun:test";
import fc from "fast-check";
import { byteString, bytesOf } from "../../src/base/bytes.ts";
import { Digest, DIGEST_BYTES } from "../../src/base/digest.ts";

function digestOf(fill: (digest: Digest) => void): string {
  const digest = new Digest();
  fill(digest);
  const bytes = digest.finish();
  expect(bytes.length).toBe(DIGEST_BYTES);
  return Buffer.from(bytes).toString("hex");
}

test("the digest has golden bytes: two releases compare what they have", () => {
  expect(digestOf(() => {})).toBe(EMPTY);
  const some = digestOf((digest) => {
    digest.add(5);
    digest.add(Number.MAX_SAFE_INTEGER);
    digest.addText(byteString(Buffer.from("a dkey")));
    digest.addBytes(Uint8Array.of(0, 255, 3));
  });
  expect(some).toBe(SOME);
});

test("texts and bytes of the same content have the same digest, others have another one", () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), (left, right) => {
      const ofBytes = (bytes: Uint8Array) => digestOf((digest) => digest.addBytes(bytes));
      const ofText = (bytes: Uint8Array) => digestOf((digest) => digest.addText(byteString(bytes)));
      expect(ofText(left)).toBe(ofBytes(left));
      expect(ofBytes(left) === ofBytes(right)).toBe(Buffer.from(left).equals(Buffer.from(right)));
    }),
  );
});

test("a bit that changes, and a part that moves from one piece to the next, change all lanes", () => {
  const base = "some key of a cell";
  const lanes = (text: string) => digestOf((digest) => digest.addBytes(bytesOf(text))).match(/.{8}/g)!;
  for (let at = 0; at < base.length; at += 1) {
    for (let bit = 0; bit < 7; bit += 1) {
      const changed = base.slice(0, at) + String.fromCharCode(base.charCodeAt(at) ^ (1 << bit)) + base.slice(at + 1);
      const [before, after] = [lanes(base), lanes(changed)];
      expect(before.filter((lane, index) => lane === after[index])).toEqual([]);
    }
  }
  const split = (at: number) =>
    digestOf((digest) => {
      digest.addBytes(bytesOf(base.slice(0, at)));
      digest.addBytes(bytesOf(base.slice(at)));
    });
  expect(new Set(Array.from({ length: base.length + 1 }, (_, at) => split(at))).size).toBe(base.length + 1);
});

const EMPTY = "6edc70892f7f66af0423a8ddbf04924a";
const SOME = "dcc6ba69983d3841ec9664f87de5dd65";
