import assert from "node:assert/strict";
import { test } from "node:test";
import type { FetchRequest, Group, Outcome, Session } from "../src/fetch/types.js";
import { ask } from "../src/guest/abi.js";
import { Call } from "../src/guest/call.js";
import { Log } from "../src/guest/log.js";
import { Decoder, Encoder } from "../src/guest/wire.js";

/** A session whose fetches settle when the test says so. */
class HeldSession implements Session {
  settle: ((outcome: Outcome) => void)[] = [];
  requests: FetchRequest[] = [];
  cancelled: number[] = [];

  start(request: FetchRequest, done: (outcome: Outcome) => void) {
    const n = this.settle.push(done) - 1;
    this.requests.push(request);
    return { cancel: () => void this.cancelled.push(n), state: () => "running" as const };
  }

  startGroup(group: Group, each: (index: number, outcome: Outcome) => void, done: () => void) {
    let left = group.requests.length;
    group.requests.forEach((request, i) => this.start(request, (outcome) => (each(i, outcome), --left === 0 && done())));
    return { cancel() {}, cancelMember: (i: number) => void this.cancelled.push(i), state: () => "running" as const };
  }

  usage = () => ({ requests: 0, bytes: 0 });
  records = () => [];
  unenforced = () => [];
  close = async () => {};
}

const fulfilled = (body = "", stream?: ReadableStream<Uint8Array>): Outcome => ({
  state: "fulfilled",
  response: { status: 200, url: "u", redirected: false, attempts: 1, elapsedMs: 1, headers: [], body: new TextEncoder().encode(body), stream },
});

function start(held = 1 << 20) {
  const session = new HeldSession();
  const call = new Call(session, { body: new Uint8Array() }, { output: 10, requestBytes: 1000, held }, new Log(1000));
  const does = (op: string, args: number[] = [], bytes: Uint8Array = new Uint8Array(), more: Uint8Array = new Uint8Array()) => ask(call, { op, args, bytes, more }) as { result: number; bytes?: Uint8Array };
  return { session, call, does, later: does as unknown as (...args: Parameters<typeof does>) => Promise<{ result: number; bytes?: Uint8Array } | undefined> };
}

/** The encoding of a fetch whose body is so long. */
const fetchOf = (size = 0) => new Encoder().string("").string("u").fields([]).varint(0).varint(0).varint(0).varint(0).string("").bool(false).varint(0).varint(size).done();
const openOf = (flags: number) => new Encoder().varint(flags).raw(fetchOf()).done();
const groupOf = (...members: Uint8Array[]) => members.reduce((e, m) => e.string(m), new Encoder().varint(1).varint(0).varint(0).varint(0).varint(members.length)).done();
const handles = (...ids: number[]) => new Uint8Array(Uint32Array.from(ids).buffer);
const EAGAIN = -4;

test("65,536 handles may be open", () => {
  const { does } = start();
  for (let i = 1; i <= 1 << 16; i++) assert.equal(does("send", [0], fetchOf()).result, i);
  assert.equal(does("send", [0], fetchOf()).result, -5, "EMFILE");
  does("drop", [1]);
  assert.equal(does("group", [0], groupOf(fetchOf())).result, -5, "a group takes two");
  assert.equal(does("send", [0], fetchOf()).result, (1 << 16) + 1, "handles ascend");
});

test("bodies that are held are bounded, until their fetches settle", () => {
  const { does, session } = start(2500);
  const send = (n: number) => does("send", [n], fetchOf(n), n <= 1000 ? new Uint8Array(n) : undefined).result;
  assert.deepEqual([send(1000), send(1000), send(1000)], [1, 2, -9], "E2BIG");
  session.settle[0]!(fulfilled());
  assert.equal(send(1000), 3);
  assert.equal(send(5000), 4, "the engine refuses it by its length");
  assert.equal(session.requests.at(-1)!.body!.length, 5000);
  assert.equal(does("group", Array(3).fill(1000), groupOf(...Array(3).fill(fetchOf(1000)))).result, -9, "the stub copies none of them then");
  assert.equal(does("send", [-1], fetchOf(10)).result, -1, "EFAULT");
});

test("wait, events and quiet", async () => {
  const { does, later, session } = start();
  const group = does("group", [0, 0], groupOf(fetchOf(), fetchOf())).result;
  const alone = does("send", [0], fetchOf()).result;
  assert.equal(does("quiet", [group]).result, 0);
  assert.equal(does("quiet", [alone]).result, -3);
  assert.equal((await later("wait", [0, 0], handles(group, alone)))!.result, 0, "just a look");
  assert.equal((await later("poll", [1, 5]))!.result, 0, "nothing has settled");
  const waiting = later("wait", [1, -1], handles(group, alone, 99));
  session.settle[1]!(fulfilled("b"));
  session.settle[0]!(fulfilled("a"));
  session.settle[2]!(fulfilled("c"));
  assert.deepEqual((await waiting)!.bytes, handles(group, alone, 99), "an unknown handle is ready");
  assert.deepEqual(does("events", [10]).bytes, handles(group, alone), "members are quiet");
  assert.equal((await later("poll", [1, -1]))!.result, 2, "nothing could wake it");
  const d = new Decoder(does("outcomes", [group, 1000]).bytes!);
  assert.deepEqual([d.varint(), d.view().length > 5, d.string(), d.varint()], [1, true, "b", 0], "in the order in which they settled");
  assert.equal(does("outcomes", [group, 1000]).result, 0);
  assert.equal(does("outcomes", [alone, 1]).result, -9);
});

test("what a guest waits for ends with its invocation", async () => {
  const { call, does, later } = start();
  does("send", [0], fetchOf());
  const waiting = later("wait", [0, -1], handles(1));
  call.stop();
  assert.equal(await waiting, undefined);
  assert.equal(does("head", [1, 100]), undefined);
});

test("a stream is kept 64 KiB ahead, both ways", async () => {
  const { does, later, session } = start();
  const id = does("open", [0], openOf(3)).result;
  assert.equal(does("read", [id, 9]).result, EAGAIN, "it hasn't settled");
  const piece = new Uint8Array(40_000).fill(7);
  assert.deepEqual([does("write", [id, 40_000], piece).result, does("write", [id, 40_000], piece).result, does("write", [id, 1], piece).result], [40_000, 25_536, EAGAIN]);
  const sent = session.requests[0]!.bodyStream!.getReader();
  assert.equal((await later("wait", [0, 0], handles(id)))!.result, 0);
  assert.equal((await sent.read()).value!.length, 65_536);
  assert.equal((await later("wait", [0, -1], handles(id)))!.result, 1, "there is room again");
  assert.equal(does("finish", [id]).result, 0);
  assert.equal(does("write", [id, 1], piece).result, -11, "EPIPE");
  assert.equal((await sent.read()).done, true);

  let pulled = 0;
  const body = new ReadableStream<Uint8Array>({ pull: (c) => void (pulled++ < 100 ? c.enqueue(new Uint8Array(10_000)) : c.error(new Error("cut"))) }, { highWaterMark: 0 });
  session.settle[0]!(fulfilled("", body));
  await new Promise((next) => setTimeout(next, 10));
  assert.ok(pulled <= 8, `${pulled} pieces`);
  assert.equal(does("body", [id, 9]).result, -2, "EINVAL for a stream");
  let read = 0;
  for (;;) {
    const { result } = does("read", [id, 30_000]);
    if (result === EAGAIN) await later("wait", [0, -1], handles(id));
    else if (result > 0) read += result;
    else break;
  }
  assert.equal(read, 1_000_000);
  assert.equal(does("read", [id, 1]).result, -10, "EIO");
  assert.equal(new Decoder(does("read_error", [id, 1000]).bytes!).string(), "read_error");
});

test("the response is given once, and is bounded", () => {
  const { does, call } = start();
  const head = (status: number, fields: [string, string][] = []) => new Encoder().varint(status).fields(fields);
  const respond = (e: Encoder, size = 0) => does("respond", [size], e.varint(0).varint(size).done(), new Uint8Array(size)).result;
  for (const [e, why] of [[head(600), "status"], [head(199), "status"], [head(200, [["a b", "c"]]), "name"], [head(200, [["a", "b\nc"]]), "value"]] as const) {
    assert.equal(respond(e), -2, why);
  }
  assert.equal(respond(head(200), 11), -9, "E2BIG");
  assert.equal(call.over!.code, "limit_output");
  const id = does("begin", [], head(0).done()).result;
  assert.equal(call.response!.status, 200);
  assert.deepEqual([respond(head(200)), does("begin", [], head(0).done()).result], [-7, -7], "EALREADY");
  assert.deepEqual([does("cancel", [id]).result, does("drop", [id]).result], [-2, -2]);
  assert.deepEqual([does("write", [id, 10], new Uint8Array(10)).result, does("write", [id, 1], new Uint8Array(1)).result], [10, -9]);
});

test("a group that ends at once costs what its members cost, however many are waited for", async () => {
  const { session, does, later } = start();
  const n = 30_000;
  does("group", Array.from({ length: n }, () => 0), groupOf(...Array.from({ length: n }, () => fetchOf())));
  const waiting = later("wait", [1, -1], handles(...Array.from({ length: n }, (_, i) => i + 2)));
  const from = performance.now();
  session.settle.forEach((settle) => settle(fulfilled()));
  assert.equal((await waiting)!.result, n);
  const took = performance.now() - from;
  assert.ok(took < 2000, `${took} ms`); // it was the square of that
});

test("events that nobody reads don't pile up", () => {
  const { session, call, does } = start();
  for (let i = 0; i < 200_000; i++) {
    const id = does("send", [0], fetchOf()).result;
    session.settle.pop()!(fulfilled());
    does("drop", [id]);
  }
  assert.ok((call.handles as unknown as { events: number[] }).events.length <= 1 << 18);
  does("send", [0], fetchOf());
  session.settle.pop()!(fulfilled());
  assert.deepEqual([...does("events", [4]).bytes!], [...handles(200_001)]);
});

test("fields are bytes to the guest, whatever their text", () => {
  const { session, does } = start();
  const withField = new Encoder().string("").string("u").fields([["x", "\u00c4\u008a"]]).varint(0).varint(0).varint(0).varint(0).string("").bool(false).varint(0).varint(0).done();
  const id = does("send", [0], withField).result;
  assert.deepEqual(session.requests[0]!.headers, [["x", "\u010a"]], "UTF-8 is text to the engine");
  const outcome = fulfilled();
  if (outcome.state === "fulfilled") outcome.response.headers = [["x", "a\u010ab"]]; // whose last byte alone is a line feed
  session.settle[0]!(outcome);
  const bytes = Buffer.from(does("head", [id, 1000]).bytes!);
  assert.ok(bytes.includes(Buffer.from("a\u010ab")));
  assert.ok(!bytes.includes(Buffer.from("a\nb")));
});
