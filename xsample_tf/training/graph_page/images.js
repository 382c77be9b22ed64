"use strict";
// Neighbours of some anchors, suspects, and two graphs compared.
const images = (() => {
  const { data, byId, element, format, fixed, percent } = page;

  function caption(image) { return data.images[image].text; }

  function figure(image, count, ...lines) {
    const { thumbnail, text } = data.images[image];
    const picture = thumbnail ? element("img", { src: thumbnail, alt: "", loading: "lazy" })
      : element("div", { class: "none" });
    const badge = count > 1 ? [element("span", { class: "count",
      title: `${count} images of the sample with this text` }, `× ${count}`)] : [];
    return element("div", { class: "image" }, picture, ...badge, ...lines,
      element("div", { class: "caption", title: text }, text));
  }

  function neighbour({ image, similarity, count }, partition) {
    const weight = state.weight(similarity);
    const fill = element("i");
    fill.style.width = `${100 * Math.min(1, weight)}%`;
    const share = state.options().each * weight / partition;
    return figure(image, count, element("div", { class: "bar" }, fill),
      element("div", { class: "weight", title: "similarity and share of the target" },
        `${fixed(similarity)} · ${percent(share)}`));
  }

  function drawGallery(statistics) {
    const { neighbours } = state.chosen();
    byId("gallery").replaceChildren(...data.gallery.map((anchor, i) => {
      const own = element("div", { class: "weight" },
        `own ${data.own}: ${percent(statistics.mass[anchor])}`);
      const row = neighbours[i].map((one) => neighbour(one, statistics.partition[anchor]));
      return element("div", { class: "anchor" }, figure(data.anchors[anchor], 1, own),
        element("div", { class: "neighbours" }, ...row));
    }));
  }

  function table(head, rows) {
    const cell = (tag) => (text, i) => element(tag, i ? { class: "number" } : {}, text);
    return element("div", { class: "scroll" }, element("table", {},
      element("thead", {}, element("tr", {}, ...head.map(cell("th")))),
      element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map(cell("td")))))));
  }

  function part(title, note, ...content) {
    return element("div", {}, element("h3", {}, title),
      element("p", { class: "note" }, note), ...content);
  }

  function ranked(title, note, column, rows) {
    if (!rows.length) return [];
    return [part(title, note, table([data.text_kind, column],
      rows.map(({ image, value }) => [caption(image), fixed(value)])))];
  }

  function drawSuspects() {
    const { hubs, isolated, average } = state.chosen(), found = data.suspects;
    const parts = [
      ...ranked("Related to everything", "Highest mean similarity to all other images; on average "
        + `${fixed(average)}.`, "mean similarity", hubs),
      ...ranked("Related to nothing", "Their most similar other image is farthest.",
        "largest similarity", isolated)];
    if (found.duplicates) {
      const size = data.sizes[state.now.size], pairs = found.same_pairs * size * (size - 1) / 2;
      parts.push(part(`The same ${data.text_kind} several times`,
        `${format(found.distinct)} different ones of ${format(data.population)} images; a batch of `
        + `${format(size)} has ${format(pairs)} pairs of images with the same.`,
        ...found.duplicates.length ? [table([data.text_kind, "images"],
          found.duplicates.map(({ text, count }) => [text, format(count)]))] : []));
    }
    if (found.long) {
      parts.push(part("Longer than the text encoder reads", found.long.note,
        ...found.long.examples.length ? [table([data.text_kind],
          found.long.examples.map((text) => [text]))] : []));
    }
    if (found.missing) {
      parts.push(part("No caption", `${format(found.missing)} of ${format(data.population)} images `
        + "have none."));
    }
    byId("suspect-tables").replaceChildren(...parts);
    byId("suspects").hidden = !parts.length;
  }

  function drawComparison() {
    const found = data.comparison;
    if (!found) return;
    byId("comparison").hidden = false;
    const rank = found.correlation === null
      ? "The rank correlation is not defined: one relates all images of an anchor alike."
      : `Rank correlation of their similarities to an anchor ${format(found.correlation.mean)} `
        + `(middle 80 %: ${format(found.correlation.low)} to ${format(found.correlation.high)}).`;
    byId("agreement").textContent = `${found.first} and ${found.second}. ${rank} Of an anchor's `
      + `${found.nearest} nearest images, ${percent(found.overlap)} are the same; by chance `
      + `${percent(found.chance)} would be.`;
    const side = found.side, most = Math.log(1 + Math.max(...found.density));
    page.paint(byId("density"), side, side, (column, row) =>
      Math.log(1 + found.density[(side - 1 - row) * side + column]) / most);
    const [x, y] = found.ranges;
    byId("density-text").textContent = `Similarities of pairs of images: ${found.second}, upwards `
      + `from ${format(y[0], 2)} to ${format(y[1], 2)}, by ${found.first}`;
    byId("density").setAttribute("aria-label", byId("density-text").textContent);
    byId("density-low").textContent = format(x[0], 2);
    byId("density-name").textContent = found.first;
    byId("density-high").textContent = format(x[1], 2);
    byId("disagreements").replaceChildren(...found.disagreements.map(({ anchor, first, second }) =>
      element("p", {}, element("b", {}, caption(anchor)), element("br"),
        `${found.first}: ${first.map(caption).join(" / ")}`, element("br"),
        `${found.second}: ${second.map(caption).join(" / ")}`)));
  }

  return { drawGallery, drawSuspects, drawComparison };
})();
