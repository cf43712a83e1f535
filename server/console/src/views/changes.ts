// Who changed a plugin last, of the audit log.
import { get } from "../api";
import { h } from "../dom";
import { ago, date } from "../format";
import type { Weight } from "../types";

interface Event {
  seq: number;
  time: string;
  by: string;
  action: string;
  version?: number;
  created?: boolean;
  traffic?: Weight[];
  note?: string;
}

const shown = 8;

export async function changesCard(name: string, signal: AbortSignal): Promise<HTMLElement> {
  const { events } = await get<{ events: Event[] }>(`/v1/audit?${new URLSearchParams({ plugin: name, limit: String(shown) })}`, { signal });
  return h(
    "section",
    { class: "card", "aria-labelledby": "changes" },
    h("h2", { id: "changes" }, "Last changes"),
    h(
      "ol",
      { class: "changes" },
      events.reverse().map((e) => h("li", null, h("span", null, h("strong", null, e.by), " ", what(e)), h("time", { class: "muted", datetime: e.time, title: date(e.time) }, ago(e.time)), e.note && h("span", { class: "why" }, e.note))),
    ),
  );
}

function what(e: Event): string {
  const table = (e.traffic ?? []).map((w) => `v${w.version} ${w.weight} %`).join(", ");
  switch (e.action) {
    case "deploy":
      return `deployed v${e.version ?? "?"}${e.created === false ? ", which was there" : ""}${table === "" ? "" : `; traffic: ${table}`}`;
    case "traffic":
      return `moved the traffic: ${table}`;
    case "rollback":
      return `rolled back: ${table}`;
  }
  return e.action;
}
