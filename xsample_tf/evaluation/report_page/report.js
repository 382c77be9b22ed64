"use strict";
// Charts of the report.
const report = (() => {
  const { data, byId, element, format } = page;
  const COLORS = ["--first", "--second", "--third", "--fourth", "--fifth", "--sixth"];
  const color = (number) => COLORS[number % COLORS.length];

  /** Round numbers that divide a range into about so many parts. */
  function ticks(low, high, parts = 5) {
    const raw = (high - low) / parts || 1, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].find((one) => one * power >= raw) * power;
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) {
      found.push(Number((i * step).toPrecision(12)));
    }
    return found;
  }

  /** The ends of some values, a little apart where they are one. */
  function range(values) {
    const low = Math.min(...values), high = Math.max(...values);
    const pad = (high - low || Math.abs(high) || 1) * 0.04;
    return [low - pad, high + pad];
  }

  /** Names of what the colours stand for; none for a single one. */
  function drawKey(holder, names) {
    if (names.length < 2) return;
    holder.replaceChildren(...names.map((name, i) => {
      const key = element("span", {}, name);
      key.style.setProperty("--color", `var(${color(i)})`);
      return key;
    }));
  }

  function drawCurves({ charts, runs }) {
    drawKey(byId("curves-key"), runs);
    charts.forEach(({ title, percent, series }, i) => {
      const points = series.flatMap((one) => one.points);
      const steps = points.map(([step]) => step);
      const ends = [Math.min(...steps), Math.max(...steps)];
      const [low, high] = range(points.map(([, value]) => value));
      page.chart(byId(`curve-${i}`), {
        x: { label: "step", range: ends, ticks: ticks(...ends, 4),
          format: (value) => value >= 1000 ? `${format(value / 1000)}k` : format(value) },
        y: { range: [low, high], ticks: ticks(low, high, 4),
          format: percent ? (value) => `${format(100 * value)} %` : undefined },
        curves: series.map((one) => ({ points: one.points, color: color(one.run) })),
        description: `${title} over the steps of training` });
    });
  }

  function drawSpectrum({ encoders }) {
    drawKey(byId("spectrum-key"), encoders.map(({ name }) => name));
    const points = encoders.flatMap((one) => one.points);
    const last = Math.max(...points.map(([place]) => place));
    const least = Math.min(...points.map(([, value]) => value));
    page.chart(byId("spectrum-chart"), {
      x: { label: "number of the singular value", log: true, range: [1, last],
        ticks: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000].filter((tick) => tick <= last) },
      y: { log: true, range: [least, 1], ticks: [1, 0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6]
        .filter((tick) => tick >= least), format: (value) => value < 1e-4 ? value.toExponential(0)
        .replace("-", "\u2212") : format(value) },
      curves: encoders.map((one, i) => ({ points: one.points, color: color(i) })),
      description: "Singular values of the embeddings, relative to the first" });
  }

  const STEPS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
  /**
   * Lets canvases be read by pointer, as point({x, y, number}) with shares of the canvas's sides,
   * and by arrow keys, as move([right, down], number).
   */
  function readable(canvases, point, move) {
    canvases.forEach((canvas, number) => {
      const pointed = ({ clientX, clientY }) => {
        const box = canvas.getBoundingClientRect();
        const share = (from, length, where) => Math.min(1, Math.max(0, (where - from) / length));
        point({ x: share(box.left, box.width, clientX), y: share(box.top, box.height, clientY),
          number });
      };
      canvas.addEventListener("pointermove", pointed);
      canvas.addEventListener("pointerdown", pointed);
      canvas.addEventListener("keydown", (event) => {
        if (!STEPS[event.key]) return;
        event.preventDefault();
        move(STEPS[event.key], number);
      });
    });
  }

  return { drawCurves, drawSpectrum, readable };
})();
if (page.data.curves) page.redrawing(() => report.drawCurves(page.data.curves));
if (page.data.spectrum) page.redrawing(() => report.drawSpectrum(page.data.spectrum));
