// Charts

const AXES = { step: "step", epoch: "epoch", relative: "time since begin", wall: "date" };
const touched = matchMedia("(pointer: coarse)");
const isStill = (chart) => touched.matches && !chart.figure.classList.contains("large"); // a drag scrolls the page
const DASHES = ["solid", "dash", "dot"];
const settings = { axis: "step", smoothing: 0, logx: false, logy: false, all: false, linked: false, seeds: false };
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

const label = (curve) => curve.setting ?? data.runs[curve.run].name;

/** The curves with those of runs that differ only in the seed as one. */
function bySetting(curves) {
  const groups = new Map();
  for (const each of curves) {
    const key = data.runs[each.curve.run].setting ?? each;
    groups.set(key, [...(groups.get(key) ?? []), each]);
  }
  return [...groups].map(([key, some]) => {
    if (some.length === 1) return some[0];
    return { curve: { run: some[0].curve.run, setting: data.settings[key] }, s: joined(some.map(({ s }) => s), settings.logy) };
  });
}

/** The curves that are drawn, and the range of x of all of them. */
function drawn(chart) {
  let curves = [];
  for (const curve of chart.curves) {
    const s = isShown(curve.run) ? series(curve, settings.axis) : null;
    if (s?.x.length) curves.push({ curve, s });
  }
  if (settings.seeds) curves = bySetting(curves);
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

/** Some room around a value that never changes, where Plotly would show -1 to 1; null for others. */
function constant(each) {
  let low = Infinity, high = -Infinity;
  for (const line of each) line.low.forEach((value, at) => value <= line.high[at] && ([low, high] = [Math.min(low, value), Math.max(high, line.high[at])]));
  const room = Math.abs(low) * 0.1 || 1;
  return low === high ? [low - room, high + room] : null;
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
    const about = { type: "scatter", showlegend: false, meta: curve.run };
    if (line.low.some((low, index) => low < line.high[index])) {
      const area = band({ ...line, x }, settings.logy);
      areas.push({ ...about, ...area, mode: "lines", fill: "toself", fillcolor: style.color, opacity, line: { width: 0 } });
    }
    const pale = scale > 0;
    if (!pale || s.single)
      found.push({ ...about, x, y: line.mean, mode: at <= 40 && !pale ? "lines+markers" : "lines", opacity: pale ? 0.35 : 1, line: { ...style, width: pale ? 1 : 1.6 }, marker: { size: 5, color: style.color } });
    if (pale) found.push({ ...about, x, y: line.smoothed, mode: at === 1 ? "markers" : "lines", line: { ...style, width: 2 }, marker: { color: style.color } });
  }
  return { found: [...areas, ...found], lines };
}

function draw(chart) {
  chart.dirty = false;
  leave();
  const { curves, whole } = drawn(chart);
  chart.drawn = curves;
  chart.note.textContent = whole ? odd(curves) : "nothing to draw here";
  const css = getComputedStyle(document.documentElement);
  const [text, line, ground] = ["--muted", "--line", "--ground"].map((name) => css.getPropertyValue(name));
  chart.unit = settings.axis === "relative" && whole ? unit(whole[1]) : [1, ""];
  const marks = curves.flatMap(({ curve, s }) => s.restarts.map((x) => ({ x: x / (settings.axis === "relative" ? chart.unit[0] : 1), run: curve.run })));
  const common = { gridcolor: line, linecolor: line, zerolinecolor: line, color: text, automargin: true };
  const { found, lines } = whole ? traces(chart, curves, whole) : { found: [], lines: [] };
  const shown = chart.x ?? whole ?? [0, 1];
  const room = chart.x ? 0 : (place(shown[1]) - place(shown[0])) * 0.02 || 1;
  const ends = [place(shown[0]) - room, place(shown[1]) + room].map((end) => end / chart.unit[0]);
  chart.ends = ends;
  let y = chart.y;
  if (!y && !settings.logy) y = (settings.all ? null : usual(lines)) ?? constant(lines);
  const span = ends[1] - ends[0], isCounted = settings.axis === "step" || settings.axis === "epoch";
  const layout = {
    margin: { l: 50, r: 10, t: 8, b: 38 }, paper_bgcolor: ground, plot_bgcolor: ground,
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: text }, hovermode: false,
    dragmode: isStill(chart) ? false : "zoom",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: text, activecolor: css.getPropertyValue("--accent") },
    xaxis: {
      ...common, type: settings.axis === "wall" ? "date" : isLogX() ? "log" : "linear", range: ends,
      ...(isCounted && !isLogX() && span >= 1 && span < 8 ? { dtick: 1 } : {}), // there is no step 0.5
      title: { text: settings.axis === "relative" ? `${chart.unit[1]} since begin` : settings.axis === "wall" ? "UTC" : settings.axis, standoff: 6 },
    },
    shapes: marks.filter(({ x }) => !isLogX() || x > 0).map(({ x, run }) => ({ type: "line", x0: x, x1: x, y0: 0, y1: 1, yref: "paper", layer: "below", line: { color: colour(run), width: 1, dash: "dot" } })),
    yaxis: { ...common, type: settings.logy ? "log" : "linear", ...(y ? { range: y } : { autorange: true }), exponentformat: "power" },
  };
  const config = { displaylogo: false, responsive: true, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]], toImageButtonOptions: { scale: 2 }, doubleClick: false, showTips: false };
  Plotly.react(chart.plot, found, layout, config);
  if (!chart.bound) bind(chart);
  const outside = (line) => line.high.some((high) => high > y[1]) || line.low.some((low) => low < y[0]);
  const off = y && !chart.y ? curves.filter((_, at) => outside(lines[at])).map(({ curve }) => label(curve)) : [];
  if (marks.length) chart.note.textContent += `${chart.note.textContent && " · "}dotted: restarts`;
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
  chart.plot.on("plotly_doubleclick", () => {
    if (!isStill(chart)) reset(settings.linked ? charts : [chart]); // a single tap is reported as one, too
  });
  chart.plot.on("plotly_hover", (found) => point(chart, found));
}

function reset(some) {
  for (const chart of some) [chart.x, chart.y] = [null, null];
  some.forEach(redraw);
}
