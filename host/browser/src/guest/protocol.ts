/**
 * What the page and the worker that runs guests say to each other. A worker runs one guest at a time, and a guest calls one function at a
 * time, so that an answer needs no number. Nothing here can be trusted to be small but what the worker's own code bounds.
 */

/** poll's result for a guest that nobody can ever wake; the exit code that such a guest gets, as Go's own. */
export const deadlock = 2;

/**
 * How a guest's calls are answered: on the page's own thread (inline), by messages while the guest is suspended (JSPI), or through shared
 * memory while its worker is blocked.
 */
export type LinkKind = "direct" | "jspi" | "atomics";

/** All that a worker has to know of a plugin, once. */
export interface Setup {
  kind: "setup";
  module: WebAssembly.Module;
  plan: Plan;
  link: LinkKind;
  shared?: SharedArrayBuffer | undefined; // of the atomics link
}

/** What the module is and how it is run. */
export interface Plan {
  raw: boolean;
  entry: string;
  start: string; // an export to call first, in place of the module's start section; "": none
  memory: string; // name of the exported memory; "": none
  room: string; // exported globals, see rewrite.ts; "": none
  refused: string;
  limits: { memory: number; output: number; log: number; requestBytes: number; stream: number }; // bytes, ms
  config: Config;
}

/** The manifest's config in the forms guests read it in. */
export interface Config {
  all: string; // the whole, as a JSON object
  values: Record<string, string>; // each top-level key's value as JSON
  texts: Record<string, string>; // each as Extism has it: strings as they are, all else as JSON
}

/** The page has the worker make an instance and initialise it. */
export interface Prepare {
  kind: "prepare";
}

/** The page has the worker run the instance. */
export interface Run {
  kind: "run";
  head: Uint8Array; // the request's head but for the time that is left
  body: Uint8Array; // of a raw plugin
  left: number; // ms of the wall limit
}

/** The answer to a call; without one, the guest is to end where it stands. */
export interface Answered {
  kind: "answer";
  answer: { result: number; bytes?: Uint8Array | undefined } | undefined;
}

export type ToWorker = Setup | Prepare | Run | Answered;

/** A guest calls a function. */
export interface Called {
  kind: "call";
  op: string;
  args: number[];
  bytes?: Uint8Array | undefined;
  more?: Uint8Array | undefined;
  cpu: number; // ms that the guest has computed since it was run, or prepared
}

/** The worker begins to do what it was told: until then it may have been starting itself, which isn't the guest's time. */
export interface Begun {
  kind: "begun";
}

/** A line of the log, which isn't answered. The worker sends no more of them than the log takes. */
export interface Logged {
  kind: "log";
  level: number; // as in log/slog
  message: string;
  size: number; // bytes that the message had
}

/** An instance is ready to run, or couldn't be made. */
export interface Prepared {
  kind: "prepared";
  streamsRequest: boolean;
  failed?: Ended;
}

/** How a run ended. */
export interface Ended {
  kind: "ended";
  end: "returned" | "exited" | "trapped" | "stopped";
  result: number; // of the entry, or the exit's status
  message: string; // of a trap
  overflow: boolean; // the trap is an exhausted stack
  refused: number; // bytes of memory that the guest would have had with what was refused to it; 0: nothing was
  memory: number; // bytes
  cpu: number; // ms
  output?: Uint8Array | undefined; // of a raw plugin
  outputLength: number; // of it, also where it is over the limit and so isn't here
  said: string; // what a raw plugin gave error_set
  failure: string; // why the guest says it fails
}

/** The atomics link: the worker has copied a part of a long answer and wants the next. */
export interface More {
  kind: "more";
}

export type FromWorker = Begun | Called | Logged | Prepared | Ended | More;

/** The atomics link's shared memory: four words (state, result, length of this part, length of all), then the part's bytes. */
export const sharedHeader = 16;
export const sharedBytes = 256 << 10;

/** States: 0 while there is no answer; the worker sets it back before it asks for more. */
export const answered = 1;
export const stopped = 2;
