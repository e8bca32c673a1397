"use strict";
// The page works without this file but for the charts, the filter and the order of the tables.
// Text of runs goes into the page as textContent alone.

const id = (name) => document.getElementById(name);
const make = (tag, text = "", className = "") => {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = className;
  return element;
};

// Tables

const shown = (row) => row.dataset.off === undefined && !row.hidden;
const rows = [...document.querySelectorAll("#runs tbody tr")];
const number = (cell) => (cell.dataset.v === undefined ? NaN : Number(cell.dataset.v));

function compare(one, other) {
  const [a, b] = [number(one), number(other)];
  if (!isNaN(a) || !isNaN(b)) return isNaN(a) ? 1 : isNaN(b) ? -1 : a - b;
  return one.textContent.localeCompare(other.textContent, undefined, { numeric: true });
}

for (const table of document.querySelectorAll("table.sorted")) {
  [...table.tHead.rows[0].cells].forEach((head, at) => {
    const button = make("button", head.textContent);
    button.type = "button";
    head.replaceChildren(button);
    button.onclick = () => {
      const falls = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", falls ? "descending" : "ascending");
      const empty = (row) => ["", "-", "·", "nan"].includes(row.cells[at].textContent.trim());
      const sorted = [...table.tBodies[0].rows].sort((one, other) =>
        empty(one) || empty(other) // without a value: last in either order
          ? empty(one) - empty(other)
          : (falls ? -1 : 1) * compare(one.cells[at], other.cells[at]));
      table.tBodies[0].append(...sorted);
    };
  });
}

const COMPARISONS = {
  "<=": (a, b) => a <= b, ">=": (a, b) => a >= b, "!=": (a, b) => a !== b, "==": (a, b) => a === b,
  "=": (a, b) => a === b, "<": (a, b) => a < b, ">": (a, b) => a > b,
};
const titles = [...document.querySelectorAll("#runs thead th")].map((head) => head.textContent.trim().toLowerCase());

function matcher(word) {
  const found = /^(.+?)(<=|>=|!=|==|=|<|>)(.+)$/.exec(word);
  const at = found ? titles.findIndex((title) => [title, title.replace(/^cfg\./, "")].includes(found[1])) : -1;
  if (at < 0) return (row) => row.textContent.toLowerCase().includes(word);
  const wanted = Number(found[3]);
  return (row) => {
    const value = number(row.cells[at]);
    if (!isNaN(wanted) && !isNaN(value)) return COMPARISONS[found[2]](value, wanted);
    return COMPARISONS[found[2]](row.cells[at].textContent.trim().toLowerCase(), found[3]);
  };
}

function filter() {
  const wanted = id("find").value.toLowerCase().split(/\s+/).filter(Boolean).map(matcher);
  for (const row of rows) row.hidden = !wanted.every((fits) => fits(row));
  const left = rows.filter((row) => !row.hidden).length;
  id("found").textContent = wanted.length ? `${left} of ${rows.length}` : "";
}
id("find").hidden = rows.length < 2;

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
  });
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

// Charts

const AXES = { step: "step", epoch: "epoch", relative: "time since begin", wall: "date" };
const touched = matchMedia("(pointer: coarse)"); // there a drag scrolls the page, unless the chart is large
const DASHES = ["solid", "dash", "dot"];
const settings = { axis: "step", smoothing: 0, logx: false, logy: false, all: false, linked: false };
const dark = matchMedia("(prefers-color-scheme: dark)");
const colour = (run) => data.colours[dark.matches ? 1 : 0][run % data.colours[0].length];
const dash = (run) => Math.floor(run / data.colours[0].length) % DASHES.length;
const isLogX = () => settings.logx && settings.axis !== "wall";
const place = (x) => (isLogX() ? Math.log10(x) : x);
const hidden = new Set();
const isShown = (run) => !hidden.has(run) && !rows[run].hidden;
const charts = data.charts.map((each) => ({ ...each, x: null, y: null, dirty: true, seen: false }));

const digits = (value) => {
  if (!isFinite(value)) return String(value);
  const short = Number(value.toPrecision(5));
  const size = Math.abs(short);
  return size && (size < 1e-4 || size >= 1e15) ? String(short) : short.toLocaleString("en", { maximumFractionDigits: 20 });
};

function duration(seconds) {
  const [size, name] = unit(Math.abs(seconds));
  return `${digits(seconds / size)} ${name}`;
}

const unit = (most) => (most > 7200 * 48 ? [86400, "days"] : most > 7200 ? [3600, "hours"] : most > 180 ? [60, "minutes"] : [1, "seconds"]);

function name(x) {
  if (settings.axis === "wall") return new Date(x).toLocaleString(undefined, { timeZone: "UTC" });
  if (settings.axis === "relative") return `after ${duration(x)}`;
  return `${settings.axis} ${Number.isInteger(x) ? x.toLocaleString("en") : digits(x)}`;
}

/** The curves that are drawn, and the range of x of all of them. */
function drawn(chart) {
  const curves = [];
  for (const curve of chart.curves) {
    const s = isShown(curve.run) ? series(curve, settings.axis) : null;
    if (s?.x.length) curves.push({ curve, s });
  }
  let low = Infinity, high = -Infinity;
  for (const { s } of curves) {
    const first = isLogX() ? search(s.x, Number.MIN_VALUE) : 0;
    if (first < s.x.length) [low, high] = [Math.min(low, s.x[first]), Math.max(high, s.x[s.x.length - 1])];
  }
  return { curves, whole: low <= high ? [low, high] : null };
}

const median = (values) => [...values].sort((a, b) => a - b)[(values.length - 1) >> 1];

/** The range of y without what would flatten the rest, such as a run that diverged; null for all. */
function usual(each) {
  const sizes = each.map((line) => line.low.map((low, at) => Math.max(Math.abs(low), Math.abs(line.high[at]))).filter((size) => !isNaN(size)));
  const some = sizes.filter((size) => size.length);
  if (some.reduce((sum, size) => sum + size.length, 0) < 8) return null;
  const early = some.map((size) => median(size.slice(0, Math.ceil(size.length / 4))));
  const own = some.map((size, at) => Math.max(early[at], median(size)));
  const usual = own.some((size) => size > 0) ? median(own.filter((size) => size > 0)) : Infinity;
  const begun = early.map((size) => Math.min(Math.max(size, usual), 1000 * usual));
  const largest = some.map((size) => size.reduce((a, b) => Math.max(a, b), 0));
  const diverged = largest.map((size, at) => size / 100 > begun[at]);
  if (!diverged.some(Boolean)) return null;
  const limits = begun.map((size, at) => (diverged[at] ? 4 * usual : 10 * size));
  let low = Infinity, high = -Infinity, index = 0;
  each.forEach((line, at) => {
    if (!sizes[at].length) return;
    const limit = limits[index++];
    line.low.forEach((value, i) => {
      if (!(Math.max(Math.abs(value), Math.abs(line.high[i])) <= limit)) return;
      [low, high] = [Math.min(low, value), Math.max(high, line.high[i])];
    });
  });
  const room = (high - low || Math.abs(high) || 1) * 0.05;
  return low <= high ? [low - room, high + room] : null;
}

function band(line, positive) {
  const x = [], y = [];
  for (let start = 0; start < line.x.length; ) {
    let stop = start;
    while (stop < line.x.length && !isNaN(line.low[stop])) stop++;
    for (let at = start; at < stop; at++) if (!positive || line.high[at] > 0) x.push(line.x[at]), y.push(line.high[at]);
    for (let at = stop - 1; at >= start; at--) if (!positive || line.high[at] > 0) x.push(line.x[at]), y.push(line.low[at]);
    x.push(null), y.push(null);
    start = stop + 1;
  }
  return { x, y };
}

function traces(chart, curves, whole) {
  const range = chart.x ?? whole, width = Math.max(100, chart.plot.clientWidth - 60);
  const scale = SMOOTHINGS[settings.smoothing] * (place(whole[1]) - place(whole[0]));
  const areas = [], found = [], lines = [];
  const opacity = curves.length < 3 ? 0.3 : curves.length < 9 ? 0.2 : 0.12;
  for (const { curve, s } of curves) {
    const key = `${settings.axis} ${scale} ${isLogX()}`;
    if (scale > 0 && curve.smoothedFor !== key) {
      curve.smoothed = smooth(isLogX() ? s.x.map(Math.log10) : s.x, s.mean, scale);
      curve.smoothedFor = key;
    }
    const source = settings.logy && s.above ? { ...s, low: s.above } : s;
    const line = columns(source, scale > 0 ? curve.smoothed : null, range, width, place);
    lines.push(line);
    const at = line.x.length;
    const style = { color: colour(curve.run), dash: DASHES[dash(curve.run)] };
    const x = settings.axis === "relative" ? line.x.map((seconds) => seconds / chart.unit[0]) : line.x;
    const about = { type: "scatter", hoverinfo: "none", showlegend: false, meta: curve.run };
    if (line.low.some((low, index) => low < line.high[index])) {
      const area = band({ ...line, x }, settings.logy);
      areas.push({ ...about, ...area, mode: "lines", fill: "toself", fillcolor: style.color, opacity, line: { width: 0 }, hoverinfo: "skip" });
    }
    const pale = scale > 0;
    if (!pale || s.single)
      found.push({ ...about, x, y: line.mean, mode: at <= 40 && !pale ? "lines+markers" : "lines", opacity: pale ? 0.35 : 1, line: { ...style, width: pale ? 1 : 1.6 }, marker: { size: 5, color: style.color } });
    if (pale) found.push({ ...about, x, y: line.smoothed, mode: "lines", line: { ...style, width: 2 } });
  }
  return { found: [...areas, ...found], lines };
}

function draw(chart) {
  chart.dirty = false;
  id("tip").hidden = true;
  const { curves, whole } = drawn(chart);
  chart.drawn = curves;
  chart.note.textContent = whole ? odd(curves) : "nothing to draw here";
  const css = getComputedStyle(document.documentElement);
  const [text, line, ground] = ["--muted", "--line", "--ground"].map((name) => css.getPropertyValue(name));
  const common = { gridcolor: line, linecolor: line, zerolinecolor: line, color: text, automargin: true };
  chart.unit = settings.axis === "relative" && whole ? unit(whole[1]) : [1, ""];
  const { found, lines } = whole ? traces(chart, curves, whole) : { found: [], lines: [] };
  const shown = chart.x ?? whole ?? [0, 1];
  const room = chart.x ? 0 : (place(shown[1]) - place(shown[0])) * 0.02 || 1;
  const ends = [place(shown[0]) - room, place(shown[1]) + room].map((end) => end / chart.unit[0]);
  let y = chart.y;
  if (!y && !settings.all && !settings.logy) y = usual(lines);
  const layout = {
    margin: { l: 50, r: 10, t: 8, b: 38 }, paper_bgcolor: ground, plot_bgcolor: ground,
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: text }, hovermode: "x", hoverdistance: -1,
    dragmode: touched.matches && !chart.figure.classList.contains("large") ? false : "zoom",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: text, activecolor: css.getPropertyValue("--accent") },
    xaxis: {
      ...common, type: settings.axis === "wall" ? "date" : isLogX() ? "log" : "linear", range: ends, showspikes: true,
      spikemode: "across", spikethickness: 1, spikecolor: text, spikedash: "dot", spikesnap: "cursor",
      title: { text: settings.axis === "relative" ? `${chart.unit[1]} since begin` : settings.axis === "wall" ? "UTC" : settings.axis, standoff: 6 },
    },
    yaxis: { ...common, type: settings.logy ? "log" : "linear", ...(y ? { range: y } : { autorange: true }), exponentformat: "power" },
  };
  const config = { displaylogo: false, responsive: true, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]], toImageButtonOptions: { scale: 2 }, doubleClick: false, showTips: false };
  Plotly.react(chart.plot, found, layout, config);
  if (!chart.bound) bind(chart);
  const outside = (line) => line.high.some((high) => high > y[1]) || line.low.some((low) => low < y[0]);
  const off = y && !chart.y ? curves.filter((_, at) => outside(lines[at])).map(({ curve }) => data.runs[curve.run].name) : [];
  if (off.length) chart.note.textContent += `${chart.note.textContent && " · "}off the scale: ${off.join(", ")}`;
}

/** How many values of which runs are not finite. */
function odd(curves) {
  return curves.filter(({ curve }) => curve.odd).map(({ curve }) => {
    const counts = curve.odd.map((count, at) => count && `${count.toLocaleString("en")} ${["NaN", "inf", "-inf"][at]}`);
    return `${data.runs[curve.run].name}: ${counts.filter(Boolean).join(", ")}`;
  }).join(" · ");
}

const redraw = (chart) => {
  chart.dirty = true;
  if (chart.seen) draw(chart);
};
const redrawAll = () => charts.forEach(redraw);

function bind(chart) {
  chart.bound = true;
  chart.plot.on("plotly_relayout", (change) => {
    const number = (end) => (settings.axis === "wall" && typeof end === "string" ? Date.parse(`${end.replace(" ", "T")}Z`) : Number(end));
    const asked = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
    if (asked[0] !== undefined) {
      const ends = asked.map(number).map((end) => end * chart.unit[0]);
      const window = isLogX() ? ends.map((end) => 10 ** end) : ends;
      for (const each of settings.linked ? charts : [chart]) each.x = window;
    }
    if (change["yaxis.range[0]"] !== undefined) chart.y = [change["yaxis.range[0]"], change["yaxis.range[1]"]];
    if (asked[0] === undefined && change["yaxis.range[0]"] === undefined) {
      if (!("xaxis.autorange" in change || "yaxis.autorange" in change || "xaxis.range" in change)) return;
      return reset(settings.linked ? charts : [chart]);
    }
    (settings.linked ? charts : [chart]).forEach(redraw);
  });
  chart.plot.on("plotly_doubleclick", () => reset(settings.linked ? charts : [chart]));
  chart.plot.on("plotly_hover", (found) => point(chart, found));
  // a finger does not hover: after its tap, the browser has a mouse enter and leave there
  let tapped = 0;
  chart.plot.on("plotly_click", (found) => touched.matches && ((tapped = Date.now()), point(chart, found)));
  chart.plot.on("plotly_unhover", () => Date.now() - tapped > 1000 && (id("tip").hidden = true));
}

function reset(some) {
  for (const chart of some) [chart.x, chart.y] = [null, null];
  some.forEach(redraw);
}

// What is under the cursor

const MOST_NAMED = 8;

function point(chart, found) {
  const raw = found.xvals?.[0] ?? found.points[0].x;
  const cursor = (settings.axis === "wall" && typeof raw === "string" ? Date.parse(`${raw.replace(" ", "T")}Z`) : Number(raw)) * chart.unit[0];
  const log = settings.logy ? Math.log10 : (value) => value;
  const height = log(Number(found.yvals?.[0] ?? found.points[0].y));
  const near = [];
  for (const { curve, s } of chart.drawn) {
    let at = search(s.x, cursor);
    if (at > 0 && (at === s.x.length || place(cursor) - place(s.x[at - 1]) < place(s.x[at]) - place(cursor))) at--;
    const value = s.mean[at];
    const shown = curve.smoothed && settings.smoothing ? curve.smoothed[at] : value;
    near.push({ curve, s, at, far: isFinite(value) ? Math.abs(log(shown) - height) : Infinity });
  }
  near.sort((one, other) => one.far - other.far);
  const tip = id("tip");
  tip.replaceChildren();
  near.slice(0, MOST_NAMED).forEach(({ curve, s, at }, index) => {
    if (!index) {
      const many = s.count && s.count[at] > 1 && at + 1 < s.x.length;
      tip.append(make("strong", many ? `${name(s.x[at])} until ${name(s.x[at + 1]).replace(/^(after|step|epoch) /, "")}, ${s.count[at]} values` : name(s.x[at])));
    }
    const row = make("div");
    const key = make("i", "", `key d${dash(curve.run)}`);
    key.style.setProperty("--c", colour(curve.run));
    row.append(key, make(index ? "span" : "b", data.runs[curve.run].name), make("span", value(s, at, !index)));
    tip.append(row);
    if (!index && s.low[at] < s.high[at]) tip.append(make("div", `lowest ${s.low[at]}, highest ${s.high[at]}`, "muted"));
    if (!index && settings.smoothing) tip.append(make("div", `smoothed ${digits(curve.smoothed[at])}`, "muted"));
  });
  if (near.length > MOST_NAMED) tip.append(make("div", `and ${near.length - MOST_NAMED} more`, "muted"));
  const { clientX, clientY } = found.event.changedTouches?.[0] ?? found.event;
  tip.hidden = !near.length;
  const { width, height: tall } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, clientX + 18 + width > innerWidth ? clientX - 18 - width : clientX + 18)}px`;
  tip.style.top = `${Math.max(4, Math.min(clientY + 14, innerHeight - tall - 8))}px`;
}

/** The value of an entry, or the mean of a stretch of values. */
function value(s, at, exact) {
  if (isNaN(s.mean[at])) return s.first ? String(s.first[at]) : "NaN";
  return exact && s.low[at] === s.high[at] ? String(s.low[at]) : digits(s.mean[at]);
}

// Legend and tools

function toggle(run, alone) {
  if (alone) {
    const others = data.runs.map((_, at) => at).filter((at) => at !== run);
    const only = others.every((at) => hidden.has(at)) && !hidden.has(run);
    hidden.clear();
    if (!only) others.forEach((at) => hidden.add(at));
  } else if (!hidden.delete(run)) hidden.add(run);
  legend();
  redrawAll();
}

function legend() {
  [...id("legend").children].forEach((button, run) => {
    button.setAttribute("aria-pressed", !hidden.has(run));
    button.hidden = rows[run].hidden;
    button.firstChild.style.setProperty("--c", colour(run));
    rows[run].querySelector(".key").style.setProperty("--c", colour(run));
  });
}

function build() {
  data.runs.forEach((run, at) => {
    const button = make("button");
    button.type = "button";
    button.title = "click: show or hide; double click: show alone";
    button.append(make("i", "", `key d${dash(at)}`), make("span", run.name));
    let last = 0, before = [];
    button.onclick = () => {
      const twice = Date.now() - last < 350;
      if (twice) { // as if the first of the two had not been
        hidden.clear();
        before.forEach((run) => hidden.add(run));
      }
      before = [...hidden];
      toggle(at, twice);
      last = twice ? 0 : Date.now();
    };
    id("legend").append(button);
  });
  for (const axis of data.axes) id("axis").append(new Option(AXES[axis], axis));
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const chart = charts[target.dataset.at];
      chart.seen = isIntersecting;
      if (isIntersecting && chart.dirty) draw(chart);
    }
  }, { rootMargin: "300px" });
  charts.forEach((chart, at) => {
    const figure = make("figure"), caption = make("figcaption"), large = make("button", "enlarge");
    large.type = "button";
    caption.append(make("span", chart.name), large);
    [chart.plot, chart.note, chart.figure] = [make("div", "", "plot"), make("p", "", "note"), figure];
    figure.append(caption, chart.plot, chart.note);
    figure.dataset.at = at;
    large.onclick = () => {
      large.textContent = figure.classList.toggle("large") ? "reduce" : "enlarge";
      Plotly.Plots.resize(chart.plot).then(() => redraw(chart));
      figure.scrollIntoView({ block: "nearest" });
    };
    id("grid").append(figure);
    watcher.observe(figure);
  });
  const change = (name, read) => {
    id(name).oninput = () => {
      settings[name] = read(id(name));
      if (name === "axis" || name === "logx") for (const chart of charts) chart.x = null;
      if (name !== "linked") for (const chart of charts) chart.y = null;
      redrawAll();
    };
  };
  change("axis", (field) => field.value);
  for (const name of ["logx", "logy", "all", "linked"]) change(name, (field) => field.checked);
  id("smooth").oninput = () => {
    settings.smoothing = Number(id("smooth").value);
    id("smoothed").textContent = settings.smoothing ? `${100 * SMOOTHINGS[settings.smoothing]}%` : "off";
    redrawAll();
  };
  id("reset").onclick = () => reset(charts);
  id("metric").oninput = () => {
    const words = id("metric").value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const chart of charts) chart.figure.hidden = !words.every((word) => chart.name.toLowerCase().includes(word));
  };
  id("metric").hidden = charts.length < 5;
  id("find").oninput = () => {
    filter();
    legend();
    redrawAll();
  };
  dark.onchange = () => {
    legend();
    redrawAll();
  };
  addEventListener("scroll", () => (id("tip").hidden = true), { passive: true });
  let resized = 0;
  addEventListener("resize", () => {
    clearTimeout(resized);
    resized = setTimeout(redrawAll, 150);
  });
  id("tools").hidden = false;
  legend();
}

async function start() {
  id("find").oninput = filter;
  if (!charts.length) return void (id("waiting").textContent = "No metric has been recorded.");
  if (!("DecompressionStream" in window)) return void (id("waiting").textContent = "This browser is too old for the charts: it needs one of 2023 or later.");
  id("waiting").textContent = "loading …";
  const [numbers, library] = await Promise.all([unpack("numbers"), unpack("plotly")]);
  pools = unshuffle(numbers);
  const script = document.createElement("script");
  script.textContent = new TextDecoder().decode(library);
  document.head.append(script);
  id("waiting").remove();
  build();
}

start().catch((error) => (id("waiting").textContent = `The charts cannot be drawn: ${error}`));
