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
      const steps = points.map(([step]) => step), last = Math.max(...steps);
      const [low, high] = range(points.map(([, value]) => value));
      page.chart(byId(`curve-${i}`), {
        x: { label: "step", range: [Math.min(...steps), last], ticks: ticks(0, last, 4) },
        y: { range: [low, high], ticks: ticks(low, high, 4),
          format: percent ? (value) => `${format(100 * value)} %` : undefined },
        curves: series.map((one) => ({ points: one.points, color: color(one.run) })),
        description: `${title} over the steps of training` });
    });
  }

  return { color, ticks, range, drawKey, drawCurves, data };
})();
if (page.data.curves) page.redrawing(() => report.drawCurves(page.data.curves));
