/** One line of an invocation's log, as the report has it. */
import { maxLine } from "./limits.js";

export interface LogLine {
  time: string; // RFC 3339
  level: string; // debug, info, warn, error
  message: string;
}

export const debug = -4;
export const info = 0;
export const warn = 4;
export const error = 8;

/** A line costs more than its text; otherwise empty lines would be free. */
const overhead = 16;

/** A level of log/slog in words: "info", "warn+1". */
export function levelName(level: number): string {
  const base = level < info ? debug : level < warn ? info : level < error ? warn : error;
  const name = { [debug]: "debug", [info]: "info", [warn]: "warn", [error]: "error" }[base]!;
  const off = level - base;
  return off === 0 ? name : name + (off > 0 ? "+" : "") + off;
}

/** Collects what a guest logs and prints, up to a number of bytes of text. What passes it is dropped, and a last line says so. */
export class Log {
  readonly lines: LogLine[] = [];
  private full = false;

  constructor(
    private left: number,
    private each?: (line: LogLine) => void,
  ) {}

  /** A log that goes on where this one is; each is called for every line there is and every one to come. */
  clone(each?: (line: LogLine) => void): Log {
    const log = new Log(this.left, each);
    log.lines.push(...this.lines);
    log.full = this.full;
    this.lines.forEach((line) => each?.(line));
    return log;
  }

  add(level: number, message: string, size = message.length): void {
    if (this.full) return;
    if (size + overhead > this.left) {
      this.full = true;
      level = warn;
      message = "the log's limit is reached; later lines are dropped";
    }
    this.left -= size + overhead;
    const line = { time: new Date().toISOString(), level: levelName(level), message };
    this.lines.push(line);
    this.each?.(line);
  }
}

/**
 * The worker's end of the log: makes lines of what a guest prints, and sends no more of them than the log takes, since what is sent
 * waits in the page's queue until the page has time.
 */
export class Printer {
  private readonly parts: [number[], number[]] = [[], []];

  constructor(
    private left: number,
    private readonly send: (level: number, message: string, size: number) => void,
  ) {}

  /** One line; the bytes are copied. */
  add(level: number, message: Uint8Array): void {
    if (this.left < 0) return;
    this.left -= message.length + overhead;
    this.send(level, new TextDecoder().decode(message), message.length);
  }

  /** Adds what is printed to descriptor 1 or 2 line by line: standard output as info, standard error as warn. */
  write(fd: 1 | 2, bytes: Uint8Array): void {
    const part = this.parts[fd - 1]!;
    for (const byte of bytes) {
      if (this.left < 0) return;
      if (byte !== 10) part.push(byte);
      if (byte === 10 || part.length >= maxLine) this.flush(fd);
    }
  }

  private flush(fd: 1 | 2): void {
    const part = this.parts[fd - 1]!;
    if (part.at(-1) === 13) part.pop();
    // Empty lines are the layout of a stack trace on a terminal; here they are noise.
    if (part.length > 0) this.add(fd === 2 ? warn : info, Uint8Array.from(part));
    part.length = 0;
  }

  /** Ends lines still open. */
  end(): void {
    this.flush(1);
    this.flush(2);
  }

  /** How much is left, to begin with that again. */
  rest(): number {
    return this.left;
  }

  begin(left: number): void {
    this.left = left;
    this.parts.forEach((part) => (part.length = 0));
  }
}
