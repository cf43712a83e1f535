import { fail, type Fail } from "../policy/failure.js";

/** What is left of a session's counted limits. */
export class Budget {
  requests = 0;
  bytes = 0;

  constructor(readonly maxRequests: number, readonly maxBytes: number) {}

  /** Charges one attempt or hop. */
  takeRequest(): Fail | undefined {
    if (this.requests >= this.maxRequests) {
      return fail("limit_requests", `requests is ${this.maxRequests} and ${this.requests} are used up; one more was asked for`);
    }
    this.requests++;
    return undefined;
  }

  /** Takes back a charge for a request that was never sent. */
  refundRequest(): void {
    this.requests--;
  }

  /** Charges decoded bytes of a response. */
  takeBytes(n: number): Fail | undefined {
    const over = this.fitsBytes(n);
    if (!over) this.bytes += n;
    return over;
  }

  /** Tells beforehand whether a body of n bytes could be charged. */
  fitsBytes(n: number): Fail | undefined {
    if (this.bytes + n <= this.maxBytes) return undefined;
    return fail("limit_bytes", `total_bytes is ${this.maxBytes}; with this response it would be ${this.bytes + n} or more`);
  }
}
