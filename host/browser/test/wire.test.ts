import assert from "node:assert/strict";
import { test } from "node:test";
import { chance } from "./chance.js";
import { bodiesOf, bodyOf } from "../src/guest/locate.js";
import { hex } from "./plugins.js";
import { Decoder, Encoder, unknownLength } from "../src/guest/wire.js";

test("varints are QUIC's, in their shortest form", () => {
  // RFC 9000, appendix A.1, and the borders between lengths.
  const known: [number, string][] = [
    [37, "25"], [15293, "7bbd"], [494878333, "9d7f3e7d"], [0, "00"], [63, "3f"], [64, "4040"], [16383, "7fff"], [16384, "80004000"],
    [2 ** 30 - 1, "bfffffff"], [2 ** 30, "c000000040000000"], [unknownLength, "ffffffffffffffff"],
  ];
  for (const [v, text] of known) {
    assert.equal(Buffer.from(new Encoder().varint(v).done()).toString("hex"), text);
    if (v !== unknownLength) assert.equal(new Decoder(hex(text)).varint(), v);
  }
  assert.equal(new Decoder(hex("c2197c5eff14e88c")).varint(), 151288809941952652);
  assert.equal(new Decoder(hex("4025")).varint(), 37, "a longer form");
});

test("what was written is read again", () => {
  const fields: [string, string][] = [["x-a", "1"], ["x-b", "caf\xe9\xc3\xa9"], ["x-a", ""]];
  const bytes = new Encoder().string("GET").fields(fields).bool(true).duration(1.5).string(new Uint8Array([0xff])).done();
  const d = new Decoder(bytes);
  assert.equal(d.string(), "GET");
  assert.deepEqual(d.fields(), fields);
  assert.equal(d.bool(), true);
  assert.equal(d.duration(), 1.5);
  assert.deepEqual([...d.view()], [0xff]);
  assert.ok(d.end());
});

test("what is cut short, too long or not whole is bad", () => {
  const whole = new Encoder().string("GET").fields([["a", "b"]]).done();
  for (let n = 0; n < whole.length; n++) {
    const d = new Decoder(whole.subarray(0, n));
    d.string();
    d.fields();
    assert.ok(!d.end(), `${n} bytes`);
  }
  const left = new Decoder(new Uint8Array([1, 2]));
  left.varint();
  assert.ok(!left.end());
  const many = new Decoder(new Encoder().fields(Array(1025).fill(["a", ""])).done());
  many.fields();
  assert.ok(many.bad, "more than 1,024 field lines");
});

test("no bytes make the decoder throw, or copy more than there is", () => {
  const next = chance(1);
  const memory = new ArrayBuffer(1 << 16);
  const host = { memory: () => memory, ask: () => assert.fail(), fail: () => assert.fail() };
  for (let i = 0; i < 50_000; i++) {
    // Small numbers, so that lengths often fit.
    const bytes = Uint8Array.from({ length: Math.floor(next() * 64) }, () => (next() < 0.7 ? next() * 8 : next() * 256));
    const d = new Decoder(bytes);
    d.string();
    d.fields();
    d.duration();
    d.rest();
    for (const [group, open] of [[false, false], [false, true], [true, false], [true, true]] as const) {
      const found = bodiesOf(host, bytes, group, open, { requestBytes: 1 << 15, memory: 1 << 17 });
      assert.ok((found.bytes?.length ?? 0) <= 1 << 17);
    }
    assert.ok((bodyOf(host, bytes, 100).bytes?.length ?? 0) <= 100);
  }
});
