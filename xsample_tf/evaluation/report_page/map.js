"use strict";
// Maps of the embeddings, one for each encoder, with the words of the image that is pointed at.
(() => {
  const found = page.data.map;
  if (!found) return;
  const { byId, element } = page, STEPS = 65535, NEAR = 0.05;
  const labels = found.labels && page.array(found.labels);
  const maps = found.maps.map(({ places }) => page.array(places));
  const canvases = [...document.querySelectorAll("canvas.map")];
  const choice = byId("map-class");
  let chosen = null;

  // From the left and from the top.
  const at = (map, image) => [maps[map][2 * image] / STEPS, 1 - maps[map][2 * image + 1] / STEPS];

  function colour(image, dark) {
    const label = labels ? labels[image] : -1;
    if (!labels) return dark ? "#6db3f2" : "#1f66b0";
    if (label < 0) return dark ? "#7a828c" : "#9aa2ac";
    return `hsl(${360 * found.hues[label]} ${dark ? "75% 65%" : "80% 40%"})`;
  }

  function draw() {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const only = choice ? Number(choice.value) : -1;
    const ink = getComputedStyle(document.body).color;
    canvases.forEach((canvas, map) => {
      const side = canvas.clientWidth, ratio = window.devicePixelRatio || 1, margin = 8;
      Object.assign(canvas, { width: side * ratio, height: side * ratio });
      const context = canvas.getContext("2d");
      context.scale(ratio, ratio);
      const point = (image, radius, fill, alpha) => {
        const [x, y] = at(map, image).map((share) => margin + share * (side - 2 * margin));
        context.globalAlpha = alpha;
        context.fillStyle = fill;
        context.beginPath();
        context.arc(x, y, radius, 0, 2 * Math.PI);
        context.fill();
      };
      const isMarked = (image) => only >= 0 && labels[image] === only;
      const everyone = found.words.map((_, image) => image);
      for (const image of everyone.filter((one) => !isMarked(one))) {
        if (only >= 0) point(image, 2, dark ? "#7a828c" : "#9aa2ac", 0.35);
        else point(image, 2.5, colour(image, dark), 0.7);
      }
      for (const image of everyone.filter(isMarked)) point(image, 4, colour(image, dark), 1);
      if (chosen === null) return;
      point(chosen, 8, ink, 1);
      point(chosen, 5.5, colour(chosen, dark), 1);
    });
    if (chosen === null) return;
    const name = labels && labels[chosen] >= 0 ? found.names[labels[chosen]] : "";
    const words = found.words[chosen];
    byId("map-text").textContent = name && name !== words ? `${name}: ${words}` : words;
  }

  /** The image that is nearest to a place, of those that are allowed. */
  function nearest(map, x, y, allowed = () => true) {
    let best = null, least = Infinity;
    for (let image = 0; image < found.words.length; image++) {
      const [a, b] = at(map, image), distance = (a - x) ** 2 + (b - y) ** 2;
      if (distance < least && allowed(a - x, b - y, image)) [best, least] = [image, distance];
    }
    return { image: best, distance: Math.sqrt(least) };
  }

  function choose(image) {
    if (image === null) return;
    chosen = image;
    draw();
  }

  report.readable(canvases, ({ x, y, number }) => {
    const { image, distance } = nearest(number, x, y);
    if (distance < NEAR) choose(image);
  }, ([right, down], number) => {
    if (chosen === null) return choose(nearest(number, 0.5, 0.5).image);
    const [x, y] = at(number, chosen);
    // The nearest one that lies that way rather than another.
    const thatWay = (a, b, image) => image !== chosen
      && (right ? a * right > Math.abs(b) : b * down > Math.abs(a));
    return choose(nearest(number, x, y, thatWay).image);
  });
  if (choice) {
    choice.append(...found.names.map((name, i) => element("option", { value: i }, name)));
    choice.addEventListener("change", draw);
  }
  page.redrawing(draw);
})();
