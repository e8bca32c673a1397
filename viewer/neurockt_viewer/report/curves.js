// Numbers

const data = JSON.parse(id("curves").textContent);
const SMOOTHINGS = [0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2]; // shares of all of x, as in the viewer

async function unpack(name) {
  const text = atob(id(name).textContent);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

let pools = [];

function unshuffle(bytes) {
  const pools = [];
  let from = 0;
  data.sizes.forEach((size, kind) => {
    const width = kind ? 4 : 8;
    const whole = new Uint8Array(size * width);
    for (let byte = 0; byte < width; byte++)
      for (let at = 0; at < size; at++) whole[at * width + byte] = bytes[from + byte * size + at];
    pools.push(kind ? new Float32Array(whole.buffer) : new Float64Array(whole.buffer));
    from += size * width;
  });
  return pools;
}

const decoded = new Map();

function array(index) {
  if (index === undefined) return null;
  if (!decoded.has(index)) {
    const [kind, begin, length, divisor] = data.index[index];
    let values = pools[kind].subarray(begin, begin + length);
    if (divisor) {
      let sum = 0;
      values = values.map((distance) => (sum += distance) / divisor);
    }
    decoded.set(index, values);
  }
  return decoded.get(index);
}

/** What a curve has on an axis: where its entries begin, and of each its extremes and its mean. */
function series(curve, axis) {
  const wall = axis === "wall";
  const on = curve.axes[wall ? "relative" : axis];
  if (!on) return null;
  const key = `${axis} ${curve.run}`;
  curve.made ??= {};
  return (curve.made[key] ??= {
    x: wall ? array(on.x).map((x) => (x + data.runs[curve.run].begin) * 1000) : array(on.x),
    low: array(on.low), high: array(on.high), mean: array(on.mean), single: on.low === on.high,
    count: array(on.count), above: array(on.above), first: array(on.first), gaps: new Set(array(on.gaps) ?? []),
    restarts: (on.restarts ?? []).map((x) => (wall ? (x + data.runs[curve.run].begin) * 1000 : x)),
  });
}

/** Several series as one: at each place of the longest, the mean, lowest and highest of what each had by then. */
function joined(several, positive) {
  const x = several.map((s) => s.x).reduce((one, other) => (other.length > one.length ? other : one));
  const found = { x, low: [], high: [], mean: [], gaps: new Set(), restarts: [] };
  const indices = several.map(() => -1);
  for (const place of x) {
    let low = NaN, high = NaN, sum = 0, number = 0;
    several.forEach((s, of) => {
      const last = s.x.length - 1;
      while (indices[of] < last && s.x[indices[of] + 1] <= place) indices[of]++;
      const at = indices[of];
      if (at < 0 || (place > s.x[last] && place >= s.x[last] + (s.x[last] - s.x[0]) / Math.max(1, last))) return;
      const least = positive ? (s.above ?? s.low)[at] : s.low[at];
      if (!(low <= least) && !(positive && least <= 0) && !isNaN(least)) low = least;
      if (!(high >= s.high[at]) && !isNaN(s.high[at])) high = s.high[at];
      if (isFinite(s.mean[at])) [sum, number] = [sum + s.mean[at], number + 1];
    });
    found.low.push(low), found.high.push(high), found.mean.push(number ? sum / number : NaN);
  }
  return found;
}

/** The average of all before each place, that of ``scale`` before it counting for 1/e, along straight lines. */
function smooth(places, values, scale) {
  const out = Float64Array.from(values);
  let last = -1, begin = 0, sum = 0;
  for (let at = 0; at < values.length; at++) {
    if (!isFinite(values[at]) || !isFinite(places[at])) continue;
    if (last < 0) begin = places[at];
    else {
      const d = Math.min((places[at] - places[last]) / scale, 1e6);
      const later = d < 0.01 ? (d / 2) * (1 - (d / 3) * (1 - (d / 4) * (1 - d / 5))) : (d + Math.expm1(-d)) / d;
      sum = Math.exp(-d) * sum + (-Math.expm1(-d) - later) * values[last] + later * values[at];
      const weight = -Math.expm1((begin - places[at]) / scale);
      if (weight > 0) out[at] = sum / weight;
    }
    last = at;
  }
  return out;
}

/** The first index whose place is at least ``wanted``. */
function search(places, wanted) {
  let low = 0, high = places.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (places[middle] < wanted) low = middle + 1; else high = middle;
  }
  return low;
}

/** The entries within a range of x, of each column of pixels its extremes and means. */
function columns(s, smoothed, [from, to], width, place) {
  const start = Math.max(0, search(s.x, from) - 1), stop = Math.min(s.x.length, search(s.x, to) + 1);
  const [a, b] = [place(from), place(to)];
  const every = stop - start <= 2 * width || !(b > a);
  const out = { x: [], low: [], high: [], mean: [], smoothed: smoothed && [] };
  let column = NaN, weight = 0, weightSmoothed = 0;
  for (let at = start; at < stop; at++) {
    const here = every ? at : Math.floor(((place(s.x[at]) - a) / (b - a)) * width);
    const lost = s.gaps.has(at) || (isNaN(s.mean[at]) && (every || isNaN(s.low[at])));
    if (lost && out.x.length) {
      for (const name in out) out[name]?.push(name === "x" ? s.x[at] : NaN); // no line over what is missing
      column = NaN;
    }
    if (isNaN(s.low[at])) continue;
    const count = s.count ? s.count[at] : 1;
    if (here !== column) {
      column = here;
      weight = count;
      weightSmoothed = 1;
      out.x.push(s.x[at]);
      out.low.push(s.low[at]);
      out.high.push(s.high[at]);
      out.mean.push(s.mean[at]);
      out.smoothed?.push(smoothed[at]);
      continue;
    }
    const end = out.x.length - 1;
    weight += count;
    out.low[end] = Math.min(out.low[end], s.low[at]);
    out.high[end] = Math.max(out.high[end], s.high[at]);
    out.mean[end] += (s.mean[at] - out.mean[end]) * (count / weight);
    if (smoothed) out.smoothed[end] += (smoothed[at] - out.smoothed[end]) / ++weightSmoothed;
  }
  return out;
}
