// The icons: lines in a box of 24, in the text's colour.
import { svg } from "../dom";

const paths = {
  inbox: "M4 13l2.5-7.5A2 2 0 0 1 8.4 4h7.2a2 2 0 0 1 1.9 1.5L20 13v5a2 2 0 0 1-2 2H6a2 2 0 0 1-2-2zM4 13h4.5l1.5 2.5h4l1.5-2.5H20",
  warning: "M12 9v4.5M12 17h.01M10.4 4.3 2.9 17.2A1.8 1.8 0 0 0 4.5 20h15a1.8 1.8 0 0 0 1.6-2.8L13.6 4.3a1.9 1.9 0 0 0-3.2 0z",
  upload: "M12 16V5M7.5 9.5 12 5l4.5 4.5M5 19h14",
  download: "M12 5v11M7.5 11.5 12 16l4.5-4.5M5 19.5h14",
  play: "M7 5.5v13l11-6.5z",
  browser: "M4 6.5A1.5 1.5 0 0 1 5.500 5h13A1.5 1.5 0 0 1 20 6.500v11a1.500 1.500 0 0 1-1.500 1.500h-13A1.500 1.500 0 0 1 4 17.500zM4 9.500h16M7 7.300h.01M9.500 7.300h.01",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2.500v2M12 19.500v2M4.600 4.600 6 6M18 18l1.400 1.400M2.500 12h2M19.500 12h2M4.600 19.400 6 18M18 6l1.400-1.400",
  moon: "M20 14.500A8.300 8.300 0 0 1 9.500 4 8.300 8.300 0 1 0 20 14.500z",
  copy: "M9 9h10v11H9zM5 15V4h10",
  back: "M9 7 4 12l5 5M4 12h11a5 5 0 0 1 5 5v1",
  pause: "M8.500 5.500v13M15.500 5.500v13",
  out: "M14 5h4a1.500 1.500 0 0 1 1.500 1.500v11A1.500 1.500 0 0 1 18 19h-4M10 8l-4 4 4 4M6 12h9",
  shield: "M12 3.500 5 6v5.500c0 4.300 2.900 7.300 7 9 4.100-1.700 7-4.700 7-9V6zM9.500 12l1.800 1.800 3.400-3.600",
};

export function icon(name: keyof typeof paths): SVGElement {
  return svg("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" }, svg("path", { d: paths[name] }));
}

/** The sign of the product: one line in, several out. */
export function logo(): SVGElement {
  return svg(
    "svg",
    { class: "logo", viewBox: "0 0 32 32", "aria-hidden": "true", focusable: "false" },
    svg("rect", { width: 32, height: 32, rx: 8 }),
    svg("path", { d: "M7 16h17M13 16c4 0 4-7 8-7h3M13 16c4 0 4 7 8 7h3" }),
    svg("circle", { cx: 8, cy: 16, r: 2.6 }),
  );
}
