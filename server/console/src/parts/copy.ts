// Copies a text.
import { h } from "../dom";
import { icon } from "./icons";

export function copyButton(text: string, label: string): HTMLElement {
  const said = h("span", { class: "visually-hidden", role: "status" });
  const button = h(
    "button",
    {
      type: "button",
      class: "icon-button",
      title: label,
      "aria-label": label,
      on: {
        click: () => {
          navigator.clipboard.writeText(text).then(
            () => {
              button.classList.add("done");
              said.textContent = "Copied";
              setTimeout(() => button.classList.remove("done"), 1200);
            },
            () => (said.textContent = "Not copied: the browser didn't let it be."),
          );
        },
      },
    },
    icon("copy"),
  );
  return h("span", { class: "copy" }, button, said);
}

/** Gives the user a file. */
export function download(data: Blob, name: string): void {
  const url = URL.createObjectURL(data);
  const link = h("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
