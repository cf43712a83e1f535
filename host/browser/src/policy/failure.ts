/** Why something may not be fetched or could not be. */
export interface Fail {
  code: string;
  message: string;
  again?: boolean; // with a code that never may: another attempt may help all the same
}

export function fail(code: string, message: string): Fail {
  return { code, message };
}

export function isFail(value: unknown): value is Fail {
  return typeof value === "object" && value !== null && "code" in value && "message" in value;
}

/** Text of the guest's as messages carry it: bounded, in quotes. */
export function quote(text: string): string {
  return JSON.stringify(clip(text));
}

/** Bounds what a message repeats. */
export function clip(text: string): string {
  return text.length <= 200 ? text : text.slice(0, 200) + "…";
}
