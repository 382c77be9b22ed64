"use strict";
// One batch's target as a picture, with the captions of the cell that is pointed at.
const heatMap = (() => {
  const { data, byId, element, format, fixed, percent } = page;
  const canvas = byId("heat-map"), count = data.anchors.length;
  const SPAN = 2;  // Powers of ten above and below an even share.
  let place = null, shares = null;

  function similarity(row, column) {
    if (row === column) return 1;
    const [i, j] = row < column ? [row, column] : [column, row];
    return state.chosen().pairs[i * count - (i * (i + 1)) / 2 + j - i - 1] / 32767 - 1;
  }

  /** The share of each image in each anchor's target, row by row. */
  function targetShares() {
    const { each, own, positives } = state.options();
    const found = new Float64Array(count * count);
    for (let row = 0; row < count; row++) {
      let partition = own;
      for (let column = 0; column < count; column++) {
        if (column === row) continue;
        const part = each * state.weight(similarity(row, column));
        found[row * count + column] = part;
        partition += part;
      }
      found[row * count + row] = positives;
      for (let i = row * count; i < (row + 1) * count; i++) found[i] /= partition;
    }
    return found;
  }

  const at = (line) => state.chosen().order[line];

  function draw() {
    shares = targetShares();
    page.paint(canvas, count, count, (column, row) => {
      if (place && (row === place.row) !== (column === place.column)) {
        if (Math.abs(row - place.row) + Math.abs(column - place.column) < 9) return 0.75;
      }
      const share = shares[at(row) * count + at(column)] * count;
      return share > 0 ? (Math.log10(share) + SPAN) / (2 * SPAN) : 0;
    });
    page.paint(byId("heat-key"), 200, 1, (column) => column / 199);
    describe();
  }

  function describe() {
    if (!place) return;
    const [row, column] = [at(place.row), at(place.column)];
    const share = shares[row * count + column];
    const lines = [element("p", {}, `Image: ${data.texts[row]}`)];
    lines.push(element("p", {}, row === column ? `Its own ${data.own}.`
      : `Related to: ${data.texts[column]}`));
    lines.push(element("p", {}, `Similarity ${fixed(similarity(row, column))}, `
      + `${percent(share)} of the target, ${format(share * count)} times an even share.`));
    byId("heat-text").replaceChildren(...lines);
  }

  function point(event) {
    const box = canvas.getBoundingClientRect();
    const line = (from, length, where) =>
      Math.min(count - 1, Math.max(0, Math.floor((where - from) / length * count)));
    place = { row: line(box.top, box.height, event.clientY),
      column: line(box.left, box.width, event.clientX) };
    draw();
  }

  const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  function move(event) {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    const within = (line) => Math.min(count - 1, Math.max(0, line));
    place ??= { row: 0, column: 0 };
    place = { row: within(place.row + step[0]), column: within(place.column + step[1]) };
    draw();
  }

  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerdown", point);
  canvas.addEventListener("keydown", move);
  byId("heat-text").append(element("p", { class: "note" }, "No cell is chosen."));
  return { draw, similarity };
})();
