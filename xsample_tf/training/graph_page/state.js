"use strict";
// What the page is set to, and the target at that setting.
const state = (() => {
  const { data, array } = page;
  const COLORS = ["--first", "--second", "--third", "--fourth"];

  const variants = data.variants.map((variant, i) => {
    const groups = { values: array(variant.values), counts: array(variant.counts),
      ends: array(variant.ends) };
    return { ...variant, groups, color: COLORS[i % COLORS.length],
      batches: target.drawBatches(groups, data.sizes, data.seed),
      pairs: array(variant.pairs), order: array(variant.order) };
  });

  const start = data.start;
  const now = { variant: 0, size: data.sizes.indexOf(start.batch_size), views: start.views,
    temperature: start.temperature };
  if (start.mass !== null) now.temperature = solve(start.mass) ?? 0.1;

  function chosen() { return variants[now.variant]; }

  function options() { return target.candidates(now.views, data.exclude_self, data.sides); }

  /** The target of the anchors, at other settings than now where they are given. */
  function statistics(size = now.size, temperature = now.temperature, weight = undefined) {
    const { groups, batches } = chosen();
    return target.statistics(groups, batches[size], temperature, options(), data.tie, weight);
  }

  /** Mean and band of mass and entropy. */
  function summary(result) {
    return { mass: target.summarize(result.mass), entropy: target.summarize(result.entropy) };
  }

  function solve(mass) {
    const { groups, batches } = chosen();
    return target.solve(groups, batches[now.size], mass, options(), data.tie);
  }

  /** The weight beside that of the own image, of another one with this similarity. */
  function weight(similarity) {
    return target.weights([similarity], now.temperature, data.tie)[0];
  }

  const kept = { key: "", value: [] };
  /** [temperature, summary] over the slider's range, at the batch size and views of now. */
  function overTemperature() {
    const key = [now.variant, now.size, now.views].join();
    if (kept.key !== key) {
      kept.key = key;
      kept.value = Array.from({ length: 41 }, (_, i) => 10 ** (-2 + i / 20))
        .map((temperature) => [temperature, summary(statistics(now.size, temperature))]);
    }
    return kept.value;
  }

  /** [batch size, summary] over all batch sizes, at the temperature of now. */
  function overBatch() {
    const weight = target.weights(chosen().groups.values, now.temperature, data.tie);
    return data.sizes.map((size, i) => [size, summary(statistics(i, now.temperature, weight))]);
  }

  return { now, variants, chosen, options, statistics, summary, solve, weight, overTemperature,
    overBatch };
})();
