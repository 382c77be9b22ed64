"use strict";
// The controls, and all that follows them.
(() => {
  const { data, byId, element, format, fixed } = page, { now } = state;
  const STEPS = 200, LOWEST = -2;  // The slider of the temperature: 0, then 10 ** -2 to 1.

  const toTemperature = (step) =>
    step === 0 ? 0 : Number((10 ** (LOWEST - (LOWEST * (step - 1)) / STEPS)).toPrecision(3));
  const toStep = (temperature) => temperature <= 0 ? 0
    : Math.round(Math.min(Math.max(1 - STEPS * (Math.log10(temperature) / LOWEST - 1), 1),
      STEPS + 1));

  function band({ low, high }, of = (value) => value) {
    return `middle 80 %: ${format(of(low), 2)} to ${format(of(high), 2)}`;
  }

  function tile(value, name, note) {
    return element("div", { class: "tile" }, element("span", {}, name),
      element("b", {}, value), element("span", {}, note));
  }

  function drawTiles(result, { mass, entropy }) {
    const alike = target.summarize(result.alike);
    byId("tiles").replaceChildren(
      tile(format(mass.mean), `mass on own ${data.own}`, band(mass)),
      tile(format(Math.exp(entropy.mean)), "effective positives, exp H(s)",
        band(entropy, Math.exp)),
      tile(`${format(entropy.mean)} nats`, "entropy of the target, H(s)", band(entropy)),
      tile(format(alike.mean), "mass on other images of similarity 1", band(alike)));
  }

  function drawVerdict({ mass }) {
    const [low, high] = data.range, own = state.chosen().temperature;
    const inside = low <= mass.mean && mass.mean <= high;
    const isOwn = own === 0 && now.temperature === 0;
    const verdict = byId("verdict");
    verdict.classList.toggle("warning", !inside && !isOwn);
    verdict.textContent = isOwn
      ? "A target temperature of 0 is part of what this graph means; training does not warn."
      : inside ? `Training does not warn: the mass is between ${low} and ${high}.`
        : "Training warns: at this batch size and data the target "
          + (mass.mean < low ? data.words.low : data.words.high);
  }

  function drawFlags() {
    const flags = [...state.chosen().flags, `--target_temperature=${now.temperature}`,
      `--batch_size=${data.sizes[now.size]}`];
    if (data.sides === 1) flags.push(`--views=${now.views}`);
    byId("flags").textContent = flags.join(" ");
  }

  const POWERS = [1, 10, 100, 1e3, 1e4, 1e5, 1e6];
  const TEMPERATURE = { label: "target temperature τₛ", log: true, range: [0.01, 1],
    ticks: [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1] };
  const MASS = { range: [0, 1], ticks: [0, 0.2, 0.4, 0.6, 0.8, 1] };
  const short = (value) => value % 1024 === 0 ? `${value / 1024}k`
    : value >= 1000 ? `${value / 1000}k` : format(value);

  function curve(points, of) {
    return { color: state.chosen().color, points: points.map(([x, y]) => [x, of(y).mean]),
      band: points.map(([x, y]) => [x, of(y).low, of(y).high]) };
  }

  function drawCurves(summary) {
    const points = state.overTemperature(), shown = Math.min(Math.max(now.temperature, 0.01), 1);
    const text = (value) => ({ x: shown, y: value, text: format(value) });
    page.chart(byId("mass-over-temperature"), { x: TEMPERATURE, y: MASS, zone: data.range,
      curves: [curve(points, ({ mass }) => mass)], mark: text(summary.mass.mean),
      description: `Mass on own ${data.own} over the target temperature` });
    const positives = ({ entropy: { mean, low, high } }) =>
      ({ mean: Math.exp(mean), low: Math.exp(low), high: Math.exp(high) });
    const most = Math.max(10, ...points.map(([, y]) => positives(y).high));
    page.chart(byId("positives-over-temperature"), { x: TEMPERATURE,
      y: { log: true, range: [1, most], ticks: POWERS.filter((tick) => tick <= most),
        format: short },
      curves: [curve(points, positives)], mark: text(positives(summary).mean),
      description: "Effective positives over the target temperature" });
    const sizes = data.sizes, ticks = sizes.filter((size) => Number.isInteger(Math.log2(size) / 2));
    page.chart(byId("mass-over-batch"), { y: MASS, zone: data.range,
      x: { label: "images in a batch", log: true, range: [sizes[0], sizes.at(-1)], ticks,
        format: short },
      curves: [curve(state.overBatch(), ({ mass }) => mass)],
      mark: { x: sizes[now.size], y: summary.mass.mean, text: format(summary.mass.mean) },
      description: `Mass on own ${data.own} over the batch size` });
  }

  function drawHistogram() {
    const bins = state.variants[0].histogram.length, edge = (bin) => -1 + 2 * bin / bins;
    const filled = state.variants.flatMap(({ histogram }) =>
      histogram.flatMap((count, bin) => count ? [bin] : []));
    const [first, last] = [Math.min(...filled), Math.max(...filled) + 1];
    const totals = state.variants.map(({ histogram }) => histogram.reduce((sum, n) => sum + n, 0));
    const least = 0.5 / Math.max(...totals);
    const curves = state.variants.map(({ histogram, color }, i) => ({ color,
      points: histogram.slice(first, last).flatMap((count, j) => {
        const share = Math.max(count / totals[i], least);
        return [[edge(first + j), share], [edge(first + j + 1), share]];
      }) }));
    const step = [0.1, 0.2, 0.5].find((one) => (edge(last) - edge(first)) / one < 7) || 0.5;
    const ticks = [];
    for (let i = Math.ceil(edge(first) / step - 1e-9); i * step <= edge(last) + 1e-9; i++) {
      ticks.push(Number((i * step).toFixed(1)));
    }
    page.chart(byId("histogram"), { curves, x: { label: "similarity",
      range: [edge(first), edge(last)], ticks },
      y: { log: true, range: [least, 1], ticks: [1e-6, 1e-4, 1e-2, 1].filter((t) => t >= least),
        format: (value) => page.percent(value) },
      description: "Histogram of the similarities of pairs of images" });
    byId("histogram-key").replaceChildren(...state.variants.map(({ name, mean, color }) => {
      const key = element("span", {}, `${name}: mean ${fixed(mean)}`);
      key.style.setProperty("--color", `var(${color})`);
      return key;
    }));
  }

  function showControls() {
    byId("temperature").value = toStep(now.temperature);
    byId("temperature").setAttribute("aria-valuetext", String(now.temperature));
    if (document.activeElement !== byId("temperature-number")) {
      byId("temperature-number").value = now.temperature;
    }
    byId("batch").value = now.size;
    byId("batch-number").textContent = format(data.sizes[now.size]);
    byId("batch").setAttribute("aria-valuetext", String(data.sizes[now.size]));
  }

  const drawRest = page.redrawing(() => { heatMap.draw(); });
  let waiting = 0;
  function draw() {
    const result = state.statistics(), summary = state.summary(result);
    showControls();
    drawTiles(result, summary);
    drawVerdict(summary);
    drawFlags();
    drawCurves(summary);
    drawHistogram();
    images.drawGallery(result);
    images.drawSuspects();
    clearTimeout(waiting);  // The heat map is the slowest part: it follows when a slider rests.
    waiting = setTimeout(drawRest, 60);
  }

  function number(id, change, low, high) {
    byId(id).addEventListener("input", ({ target: { valueAsNumber } }) => {
      if (!(valueAsNumber >= low && valueAsNumber <= high)) return;
      change(valueAsNumber);
      ask();
    });
  }

  byId("page").hidden = false;
  byId("batch").max = data.sizes.length - 1;
  byId("views-part").hidden = data.sides === 2;
  byId("views").value = now.views;
  byId("graphs").append(...state.variants.map(({ name }, i) => {
    const button = element("input", { type: "radio", name: "graph", value: i });
    button.checked = i === 0;
    button.addEventListener("change", () => { now.variant = i; ask(); });
    return element("label", {}, button, ` ${name}`);
  }));
  byId("temperatures").append(element("option", { value: toStep(0.1) }));
  number("temperature", (step) => { now.temperature = toTemperature(step); }, 0, STEPS + 1);
  number("temperature-number", (value) => { now.temperature = value; }, 0, 100);
  number("batch", (size) => { now.size = size; }, 0, data.sizes.length - 1);
  number("views", (views) => { now.views = Math.round(views); }, 2, 16);
  byId("solve").addEventListener("click", () => {
    const solved = state.solve(byId("mass").valueAsNumber);
    if (solved !== null) now.temperature = solved;
    byId("solve").textContent = solved === null ? "Out of reach" : "Choose";
    ask();
  });
  byId("copy").addEventListener("click", () => page.copy(byId("flags"), byId("copy")));
  images.drawComparison();
  const ask = page.redrawing(draw);
})();
