"use strict";
// Confusions as pictures, with the classes of the cell that is pointed at.
(() => {
  const found = page.data.classes;
  if (!found) return;
  const { byId, percent } = page, { names } = found, count = names.length;
  const order = page.array(found.order);
  const encoders = Object.entries(found.encoders)
    .map(([name, packed]) => ({ name, counts: page.array(packed) }));
  const canvases = [...document.querySelectorAll("#classes-title ~ .matrices canvas")];
  let place = null;

  /** The share of a class's images that are taken for another, by their lines in the picture. */
  function share({ counts }, row, column) {
    const from = order[row] * count;
    let total = 0;
    for (let i = 0; i < count; i++) total += counts[from + i];
    return total ? counts[from + order[column]] / total : 0;
  }

  function draw() {
    encoders.forEach((encoder, i) => {
      page.paint(canvases[i], count, count, (column, row) => {
        if (place && (row === place.row) !== (column === place.column)) {
          if (Math.abs(row - place.row) + Math.abs(column - place.column) < 6) return 0.75;
        }
        return Math.sqrt(share(encoder, row, column));  // So that small shares are seen too.
      });
    });
    if (!place) return;
    const [own, other] = [names[order[place.row]], names[order[place.column]]];
    const shares = encoders.map((encoder) =>
      `${percent(share(encoder, place.row, place.column))} (${encoder.name})`).join(", ");
    byId("classes-text").textContent = place.row === place.column
      ? `${own}: right ${shares}.` : `${own}, taken for ${other}: ${shares}.`;
  }

  report.readable(canvases, ({ x, y }) => {
    place = { row: Math.min(count - 1, Math.floor(y * count)),
      column: Math.min(count - 1, Math.floor(x * count)) };
    draw();
  }, ([right, down]) => {
    const within = (line) => Math.min(count - 1, Math.max(0, line));
    place = place ? { row: within(place.row + down), column: within(place.column + right) }
      : { row: 0, column: 0 };
    draw();
  });
  page.redrawing(draw);
})();
