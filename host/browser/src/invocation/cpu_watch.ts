/** How long a message of the worker's may have waited for the page when its time seems to be over, in ms. */
const grace = 20;

/**
 * Says when a guest has computed for longer than it may. The worker measures what was used, and tells it with each call; the page only
 * keeps an eye on the clock while the guest runs, since nothing else can tell that it doesn't come back. All in ms.
 */
export class CPUWatch {
  used = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    public limit: number,
    private readonly over: () => void,
  ) {}

  /** Begins anew, with another limit. */
  begin(limit: number): void {
    this.limit = limit;
    this.used = 0;
    this.run();
  }

  /** The guest runs from now on. */
  run(): void {
    clearTimeout(this.timer);
    // A page that was busy itself sees the timer before the message that waits behind it: so it looks a second time.
    const look = () => (this.timer = setTimeout(() => this.over(), grace));
    this.timer = setTimeout(look, Math.max(this.limit - this.used, 0));
  }

  /** The guest stands, having used so much. */
  stand(used: number): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.used = used;
  }

  /** Whether more was used than may be. A guest that calls often enough is never seen computing for long. */
  get passed(): boolean {
    return this.used > this.limit;
  }

  /** Whether the guest runs. */
  get running(): boolean {
    return this.timer !== undefined;
  }
}
