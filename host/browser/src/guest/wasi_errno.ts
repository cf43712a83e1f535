/** The errno values used, as WASI numbers them. */
export const success = 0;
export const eAgain = 6;
export const eBadf = 8;
export const eFault = 21;
export const eInval = 28;
export const eNosys = 52;
export const eSpipe = 70;

/** The virtual descriptor of host/ABI.md, section "Waiting". */
export const eventsFD = 3;
