// The browser host, in a file that is fetched when somebody first runs a plugin in their browser.
export { load, toHAR } from "@sortie/browser";
export type { HARSource, ManifestInput, Plugin } from "@sortie/browser";
