/** Types of page.mjs. */
export interface Options {
  isolated?: boolean; // cross-origin isolated, by COOP and COEP
  console?: (line: string) => void;
  args?: string[]; // of Chromium
}

export function openPage(root: string, options?: Options): Promise<{
  evaluate<T, A>(run: (arg: A) => T | Promise<T>, arg: A): Promise<T>;
  origin: string;
  close(): Promise<void>;
}>;

export function serve(root: string, options?: Options): Promise<{ origin: string; close(): void }>;
