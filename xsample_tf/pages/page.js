"use strict";
// What the scripts of all pages share: their data, elements, numbers, charts and colours.
const page = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const TYPES = { float32: Float32Array, float64: Float64Array, uint8: Uint8Array,
    uint16: Uint16Array, int32: Int32Array };
  const SVG = "http://www.w3.org/2000/svg";
  const HEIGHT = 220, LEFT = 56, RIGHT = 14, TOP = 10, BOTTOM = 40;

  /** The typed array of what `pages.pack` made. */
  function array(packed) {
    const bytes = Uint8Array.from(atob(packed.base64), (letter) => letter.charCodeAt(0));
    return new TYPES[packed.type](bytes.buffer);
  }

  function append(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);  // Strings become text: nothing is read as HTML.
    return node;
  }

  /** An HTML element with attributes and children, which may be strings. */
  function element(tag, attributes = {}, ...children) {
    return append(document.createElement(tag), attributes, children);
  }

  function svg(tag, attributes = {}, ...children) {
    return append(document.createElementNS(SVG, tag), attributes, children);
  }

  const byId = (id) => document.getElementById(id);

  /** A number with so many significant digits, with commas in thousands. */
  function format(value, digits = 3) {
    if (value === 0) return "0";
    if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en-US");
    const text = Math.abs(value) < 1e-4 ? value.toExponential(digits - 1)
      : String(Number(value.toPrecision(digits)));
    return text.replace("-", "\u2212");
  }

  /** A number with so many places behind the point. */
  function fixed(value, places = 2) {
    return value.toFixed(places).replace("-", "\u2212");
  }

  /** A share in percent; below a thousandth of a percent as such. */
  function percent(share) {
    if (share > 0 && share < 1e-5) return "< 0.001 %";
    return `${format(100 * share, share < 0.1 ? 2 : 3)} %`;
  }

  /** A scale of an axis {range, log, ticks} to pixels. */
  function scale(axis, from, to) {
    const of = axis.log ? Math.log : (value) => value;
    const [low, high] = axis.range.map(of);
    return (value) => from + (of(value) - low) / (high - low || 1) * (to - from);
  }

  const path = (points) =>
    points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");

  function axes(width, x, y, horizontal, vertical) {
    const [bottom, right] = [HEIGHT - BOTTOM, width - RIGHT];
    const parts = [svg("path", { class: "axis", d: `M${LEFT},${TOP}V${bottom}H${right}` })];
    const label = (axis) => axis.format || ((value) => format(value));
    for (const tick of x.ticks) {
      const at = horizontal(tick);
      parts.push(svg("path", { class: "axis", d: `M${at},${bottom}v4` }),
        svg("text", { x: at, y: bottom + 17, "text-anchor": "middle" }, label(x)(tick)));
    }
    for (const tick of y.ticks) {
      const at = vertical(tick);
      parts.push(svg("path", { class: "axis", d: `M${LEFT},${at}H${right}` }),
        svg("text", { x: LEFT - 6, y: at + 4, "text-anchor": "end" }, label(y)(tick)));
    }
    parts.push(svg("text", { x: (LEFT + right) / 2, y: HEIGHT - 5, "text-anchor": "middle" },
      x.label));
    return parts;
  }

  /**
   * Draws curves into a holder, in place of what it has.
   * x, y: {label, range: [low, high], ticks, log, format}; curves: [{points: [[x, y]], band:
   * [[x, low, high]], color}]; zone: [low, high] of y that is good; mark: {x, y, text}.
   */
  function chart(holder, { x, y, curves, zone, mark, description }) {
    const width = Math.max(holder.clientWidth, 240);
    const horizontal = scale(x, LEFT, width - RIGHT), vertical = scale(y, HEIGHT - BOTTOM, TOP);
    const parts = axes(width, x, y, horizontal, vertical);
    if (zone) {
      const [low, high] = zone.map(vertical);
      parts.unshift(svg("rect", { class: "zone", x: LEFT, y: high,
        width: width - RIGHT - LEFT, height: low - high }));
    }
    for (const { points, band, color } of curves) {
      if (band) {
        const outline = [...band.map(([at, , high]) => [at, high]),
          ...band.slice().reverse().map(([at, low]) => [at, low])];
        const d = path(outline.map(([a, b]) => [horizontal(a), vertical(b)]));
        parts.push(svg("path", { class: "band", fill: `var(${color})`, d: `${d}Z` }));
      }
      const d = path(points.map(([a, b]) => [horizontal(a), vertical(b)]));
      parts.push(svg("path", { class: "curve", stroke: `var(${color})`, d }));
    }
    if (mark) {
      const [at, to] = [horizontal(mark.x), vertical(mark.y)];
      const right = at > width / 2;
      parts.push(svg("path", { class: "mark", d: `M${at},${TOP}V${HEIGHT - BOTTOM}` }),
        svg("circle", { class: "dot", cx: at, cy: to, r: 5, fill: `var(${curves[0].color})` }),
        svg("text", { class: "here", x: at + (right ? -9 : 9), y: Math.max(to - 8, TOP + 10),
          "text-anchor": right ? "end" : "start" }, mark.text));
    }
    holder.replaceChildren(svg("svg", { role: "img", "aria-label": description, width: "100%",
      height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}` }, ...parts));
  }

  const darkness = window.matchMedia("(prefers-color-scheme: dark)");
  const LIGHT = [[250, 251, 253], [198, 219, 239], [107, 174, 214], [33, 113, 181], [8, 48, 107]];
  const DARK = [[24, 29, 35], [18, 57, 95], [31, 111, 178], [102, 178, 232], [232, 244, 255]];

  /** The colour [r, g, b] of a share from 0 to 1, stronger for a larger one. */
  function shade(share) {
    const stops = darkness.matches ? DARK : LIGHT;
    const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
    const low = Math.min(Math.floor(place), stops.length - 2);
    return stops[low].map((from, i) => from + (place - low) * (stops[low + 1][i] - from));
  }

  /** Fills a canvas of width x height cells with the shades of share(column, row). */
  function paint(canvas, width, height, share) {
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d"), image = context.createImageData(width, height);
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        image.data.set([...shade(share(column, row)), 255], 4 * (row * width + column));
      }
    }
    context.putImageData(image, 0, 0);
    canvas.style.imageRendering = "pixelated";
  }

  /** Calls draw once a frame however often it is asked; again for another width or darkness. */
  function redrawing(draw) {
    let waiting = false;
    const ask = () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; draw(); });
    };
    window.addEventListener("resize", ask);
    darkness.addEventListener("change", ask);
    draw();
    return ask;
  }

  /** Copies a text, or selects it where the browser does not allow that. */
  async function copy(node, button) {
    try {
      await navigator.clipboard.writeText(node.textContent);
      button.textContent = "Copied";
    } catch {
      window.getSelection().selectAllChildren(node);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }

  return { data, array, element, byId, format, fixed, percent, chart, paint, shade, redrawing, copy };
})();
