// The page's policy (require-trusted-types-for) refuses to make markup or scripts of texts. There is one exception: the worker in which plugins run
// in this browser, by its address. It's the default policy because the browser host, which starts the worker, needs to know nothing of this.

export const workerURL = "/console/worker.js";

export function guardScripts(): void {
  const types = (window as { trustedTypes?: { createPolicy(name: string, rules: object): unknown } }).trustedTypes;
  types?.createPolicy("default", {
    createScriptURL(url: string): string | null {
      return new URL(url, location.origin).href === new URL(workerURL, location.origin).href ? url : null;
    },
  });
}
