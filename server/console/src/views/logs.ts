// A plugin's log, as it's written.
import { ofPlugin, Problem, send } from "../api";
import { h, replace } from "../dom";
import { clock } from "../format";
import { icon } from "../parts/icons";
import { failed } from "../parts/notes";
import { named, pluginPage } from "../parts/pluginpage";
import { to } from "../router";
import { events } from "../sse";
import type { LogLine } from "../types";
import type { Context, View } from "../view";

const most = 2000; // lines shown; the oldest go
const levels = ["debug", "info", "warn", "error"];

export async function logsView(ctx: Context): Promise<View> {
  const p = await named(ctx);
  const tail = new Tail(p.name, ctx);
  void tail.run();
  return pluginPage(p, "logs", tail.element);
}

class Tail {
  private readonly list = h("ol");
  // Not read out by itself: a busy plugin would never let anything else be heard.
  private readonly box = h("div", { class: "log live", tabindex: 0, role: "log", "aria-label": "Log lines", "aria-live": "off" }, this.list);
  private readonly state = h("span", { class: "live-state", role: "status" });
  private readonly problem = h("div");
  private readonly nothing = h("p", { class: "muted log-empty" }, "Nothing logged yet. Lines appear here as the plugin writes them.");
  private readonly level = h("select", { id: "level", on: { change: () => this.filter() } }, levels.map((l) => h("option", { value: l }, l === "debug" ? "all levels" : `${l} and worse`)));
  private readonly search = h("input", { id: "search", type: "search", placeholder: "Filter", on: { input: () => this.filter() } });
  private readonly pause = h("button", { type: "button", "aria-pressed": "false", on: { click: () => this.toggle() } }, icon("pause"), "Pause");
  private paused = false;
  private held: LogLine[] = []; // came while paused
  private last = ""; // the id of the event seen last

  constructor(
    private readonly plugin: string,
    private readonly ctx: Context,
  ) {}

  get element(): HTMLElement {
    return h(
      "section",
      { class: "card", "aria-labelledby": "log" },
      h("div", { class: "card-head" }, h("h2", { id: "log" }, "Log"), this.state),
      h(
        "div",
        { class: "toolbar" },
        h("label", { class: "visually-hidden", for: "level" }, "Level"),
        this.level,
        h("label", { class: "visually-hidden", for: "search" }, "Filter"),
        this.search,
        this.pause,
        h("button", { type: "button", on: { click: () => this.clear() } }, "Clear"),
      ),
      this.problem,
      this.nothing,
      this.box,
    );
  }

  /** Follows the log until the user goes elsewhere. What breaks is taken up again, ever later, up to 30 s. */
  async run(): Promise<void> {
    const { signal } = this.ctx;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        this.show("connecting", "Connecting…");
        const headers: Record<string, string> = this.last === "" ? {} : { "Last-Event-ID": this.last };
        const response = await send(`${ofPlugin(this.plugin, "logs")}?follow=true&limit=500`, { signal, headers });
        replace(this.problem);
        this.show("live", "Live");
        failures = 0;
        for await (const event of events(response.body!)) {
          if (event.name === "end") {
            const { reason } = JSON.parse(event.data) as { reason: string };
            if (reason !== "draining") return this.show("ended", reason === "removed" ? "The plugin was removed." : "The token is no longer accepted: sign in again.");
          } else if (event.name === "dropped") {
            this.gap((JSON.parse(event.data) as { lines: number }).lines);
          } else if (event.name === "message") {
            this.last = event.id;
            this.add(JSON.parse(event.data) as LogLine);
          }
        }
      } catch (error) {
        if (signal.aborted) return;
        const lasting = error instanceof Problem && error.status >= 400 && error.status < 500 && error.status !== 429;
        if (lasting) {
          this.show("ended", "Stopped");
          replace(this.problem, failed(error, this.ctx.redraw));
          return;
        }
      }
      await this.wait(Math.min(30, 2 ** failures));
    }
  }

  private async wait(seconds: number): Promise<void> {
    for (let left = seconds; left > 0 && !this.ctx.signal.aborted; left--) {
      this.show("waiting", `Reconnecting in ${left} s`);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }

  private show(kind: string, text: string): void {
    this.state.className = `live-state ${kind}`;
    this.state.textContent = this.paused && kind === "live" ? "Paused" : text;
  }

  private toggle(): void {
    this.paused = !this.paused;
    this.pause.setAttribute("aria-pressed", String(this.paused));
    replace(this.pause, icon(this.paused ? "play" : "pause"), this.paused ? "Go on" : "Pause");
    if (!this.paused) this.held.splice(0).forEach((line) => this.append(line));
    this.show(this.paused ? "paused" : "live", this.paused ? "Paused" : "Live");
  }

  private add(line: LogLine): void {
    if (!this.paused) return this.append(line);
    this.held.push(line);
    if (this.held.length > most) this.held.shift();
    this.show("paused", `Paused · ${this.held.length} new`);
  }

  private append(line: LogLine): void {
    const item = h(
      "li",
      { class: `line ${levels.includes(line.level) ? line.level : ""}`, "data-level": line.level },
      h("time", { datetime: line.time }, clock(line.time)),
      h("span", { class: `level ${levels.includes(line.level) ? line.level : ""}` }, line.level),
      h("span", { class: "message" }, line.message),
      h("a", { class: "inv-link", href: to(["invocations", line.invocation]), "aria-label": `v${line.version}, invocation ${line.invocation}` }, `v${line.version}`),
    );
    item.hidden = !this.wanted(item);
    this.put(item);
  }

  private gap(lines: number): void {
    this.put(h("li", { class: "line gap" }, `${lines} lines were forgotten before they could be read.`));
  }

  private put(item: HTMLElement): void {
    const { list, box } = this;
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    list.append(item);
    while (list.childElementCount > most) list.firstElementChild!.remove();
    this.nothing.hidden = true;
    if (atEnd) box.scrollTop = box.scrollHeight;
  }

  private clear(): void {
    replace(this.list);
    this.held = [];
    this.nothing.hidden = false;
  }

  private wanted(item: HTMLElement): boolean {
    const level = levels.indexOf(item.dataset["level"] ?? "info");
    return (level < 0 || level >= levels.indexOf(this.level.value)) && item.textContent!.toLowerCase().includes(this.search.value.toLowerCase());
  }

  private filter(): void {
    for (const item of this.list.children) (item as HTMLElement).hidden = !this.wanted(item as HTMLElement);
  }
}
