/** Types of find_chromium.mjs. */
export function findChromium(): string | undefined;
export const chromiumArgs: string[];
