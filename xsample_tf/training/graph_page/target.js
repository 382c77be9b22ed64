"use strict";
// The target softmax of a batch, computed from the similarities of some anchors as groups: no page.
const target = (() => {
  /** Whole numbers below a bound, the same ones for a seed (mulberry32). */
  function randomBelow(seed) {
    let state = seed >>> 0;
    return (bound) => {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * bound);
    };
  }

  /**
   * Draws for each anchor the other images of its batch, without replacement: the images of a
   * smaller batch are in a larger one. Batches larger than the sample have it several times.
   *
   * groups: {values, counts, ends}: similarities to the other images of the sample, one anchor's
   * groups behind the other's; ends has where each anchor's groups end.
   * sizes: batch sizes, rising.
   * Returns for each size {counts, scale}: others of each group in the batch, times scale.
   */
  function drawBatches(groups, sizes, seed) {
    const others = groups.counts.subarray(0, groups.ends[0]).reduce((sum, count) => sum + count, 0);
    const enters = new Uint16Array(others).fill(sizes.length);
    for (let i = sizes.length - 1; i >= 0; i--) enters.fill(i, 0, Math.min(sizes[i] - 1, others));
    const drawn = sizes.map(() => new Uint16Array(groups.counts.length));
    const below = randomBelow(seed), order = new Uint32Array(others);
    let first = 0;
    for (const end of groups.ends) {
      for (let group = first, place = 0; group < end; group++) {
        for (let i = 0; i < groups.counts[group]; i++) order[place++] = group;
      }
      for (let rank = 0; rank < others; rank++) {
        const other = rank + below(others - rank);
        [order[rank], order[other]] = [order[other], order[rank]];
        if (enters[rank] < sizes.length) drawn[enters[rank]][order[rank]]++;
      }
      first = end;
    }
    for (let i = 1; i < sizes.length; i++) {
      for (let group = 0; group < first; group++) drawn[i][group] += drawn[i - 1][group];
    }
    return drawn.map((counts, i) => ({ counts, scale: Math.max(1, (sizes[i] - 1) / others) }));
  }

  /** How many candidates another image gives and the own one, and how many of those are true. */
  function candidates(views, excludeSelf, sides) {
    return sides === 2 ? { each: 1, own: 1, positives: 1 }
      : { each: views, own: views - (excludeSelf ? 1 : 0), positives: views - 1 };
  }

  /** The weight of each group beside a weight of 1 of the own image, whose similarity is 1. */
  function weights(values, temperature, tie) {
    return Float64Array.from(values, (value) => {
      if (temperature === 0) return value >= 1 - tie ? 1 : 0;
      return Math.exp((value - 1) / temperature);
    });
  }

  /**
   * The target of each anchor: {mass on the own image's other views, alike: on other images of
   * similarity 1, entropy in nats, partition beside a weight of 1 of the own image}.
   */
  function statistics(groups, batch, temperature, { each, own, positives }, tie,
    weight = weights(groups.values, temperature, tie)) {
    const anchors = groups.ends.length, made = () => new Float64Array(anchors);
    const result = { mass: made(), alike: made(), entropy: made(), partition: made() };
    for (let anchor = 0, group = 0; anchor < anchors; anchor++) {
      let sum = 0, logits = 0, alike = 0;
      for (; group < groups.ends[anchor]; group++) {
        const part = batch.counts[group] * weight[group];
        sum += part;
        if (temperature > 0) logits += part * (groups.values[group] - 1) / temperature;
        if (groups.values[group] >= 1 - tie) alike += part;
      }
      const times = each * batch.scale, partition = own + times * sum;
      result.mass[anchor] = positives / partition;
      result.alike[anchor] = times * alike / partition;
      result.entropy[anchor] = Math.log(partition) - times * logits / partition;
      result.partition[anchor] = partition;
    }
    return result;
  }

  /** The mean over anchors, and the values below which 10 % and 90 % of them lie. */
  function summarize(values) {
    const sorted = Float64Array.from(values).sort();
    const at = (share) => {
      const place = share * (sorted.length - 1), low = Math.floor(place);
      const high = Math.min(low + 1, sorted.length - 1);
      return sorted[low] + (place - low) * (sorted[high] - sorted[low]);
    };
    const mean = sorted.reduce((sum, value) => sum + value, 0) / sorted.length;
    return { mean, low: at(0.1), high: at(0.9) };
  }

  /** The temperature that leaves a mean mass on the own views, or null where there is none. */
  function solve(groups, batch, mass, options, tie) {
    const at = (temperature) =>
      summarize(statistics(groups, batch, temperature, options, tie).mass).mean;
    let [low, high] = [1e-3, 1e2];
    if (!(at(high) <= mass && mass <= at(low))) return null;
    for (let i = 0; i < 40; i++) {
      const middle = Math.sqrt(low * high);
      if (at(middle) > mass) low = middle; else high = middle;
    }
    return Number(Math.sqrt(low * high).toPrecision(4));
  }

  return { drawBatches, candidates, weights, statistics, summarize, solve };
})();
