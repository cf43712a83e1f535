// Elements are made here and nowhere else. Text becomes text nodes: nothing that a plugin, an upstream or a person has written is ever read as
// HTML, and there is no way to say so by mistake. Styles go through the CSSOM, since the page's policy has no inline ones.

export type Child = Node | string | number | null | undefined | false | readonly Child[];

export interface Props {
  class?: string;
  css?: Record<string, string>; // properties, custom ones too
  on?: { [K in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[K]) => void };
  value?: string;
  checked?: boolean;
  disabled?: boolean;
  hidden?: boolean;
  [attribute: string]: unknown; // true: without a value; false, null or undefined: not there
}

/** An HTML element. */
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, props?: Props | null, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  fill(element, props ?? {}, children);
  return element;
}

/** An SVG element. */
export function svg(tag: string, props?: Props | null, ...children: Child[]): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  fill(element, props ?? {}, children);
  return element;
}

/** Puts children in the place of what an element holds. */
export function replace(element: Element, ...children: Child[]): void {
  element.replaceChildren(...nodes(children));
}

function fill(element: HTMLElement | SVGElement, props: Props, children: Child[]): void {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    switch (name) {
      case "css":
        for (const [property, text] of Object.entries(value as Record<string, string>)) element.style.setProperty(property, text);
        break;
      case "on":
        for (const [event, listener] of Object.entries(value as Record<string, EventListener>)) element.addEventListener(event, listener);
        break;
      case "value":
      case "checked":
      case "disabled":
      case "hidden":
        break; // below: a select's value needs its options first
      default:
        element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  element.append(...nodes(children));
  for (const name of ["value", "checked", "disabled", "hidden"] as const) {
    if (props[name] !== undefined) (element as unknown as Record<string, unknown>)[name] = props[name];
  }
}

function nodes(children: readonly Child[]): (Node | string)[] {
  return children.flatMap((child): (Node | string)[] => {
    if (child === null || child === undefined || child === false) return [];
    if (Array.isArray(child)) return nodes(child as readonly Child[]);
    return [typeof child === "number" ? String(child) : (child as Node | string)];
  });
}
