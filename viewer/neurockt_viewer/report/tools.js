// What is under the cursor

const MOST_NAMED = 8;
const mark = make("div", "", "cursor");

function leave() {
  id("tip").hidden = true;
  mark.remove();
}

/** Show what is at the mouse, or at a tap. */
function point(chart, { clientX, clientY }) {
  const area = chart.plot.querySelector(".nsewdrag")?.getBoundingClientRect();
  if (!area || clientX < area.left || clientX > area.right || clientY < area.top || clientY > area.bottom) return leave();
  const at = (part, [low, high]) => low + (high - low) * part;
  const linear = at((clientX - area.left) / area.width, chart.ends) * chart.unit[0];
  const cursor = isLogX() ? 10 ** linear : linear;
  const log = settings.logy ? Math.log10 : (value) => value;
  const height = at((area.bottom - clientY) / area.height, chart.plot.layout.yaxis.range);
  const room = 0.03 * (chart.ends[1] - chart.ends[0]) * chart.unit[0];
  const near = [];
  for (const { curve, s } of chart.drawn) {
    let at = search(s.x, cursor);
    if (at > 0 && (at === s.x.length || place(cursor) - place(s.x[at - 1]) < place(s.x[at]) - place(cursor))) at--;
    const value = s.mean[at];
    const shown = curve.smoothed && settings.smoothing ? curve.smoothed[at] : value;
    if (Math.abs(place(s.x[at]) - linear) > room && (at === 0 || at === s.x.length - 1)) continue; // it ends elsewhere
    const far = isFinite(value) ? Math.abs(log(shown) - height) : NaN;
    near.push({ curve, s, at, far: isNaN(far) ? Number.MAX_VALUE : far });
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
    row.append(key, make(index ? "span" : "b", label(curve)), make("span", value(s, at, !index)));
    tip.append(row);
    if (!index && s.low[at] < s.high[at]) tip.append(make("div", `lowest ${s.low[at]}, highest ${s.high[at]}`, "muted"));
    if (!index && settings.smoothing) tip.append(make("div", `smoothed ${digits(curve.smoothed[at])}`, "muted"));
  });
  if (near.length > MOST_NAMED) tip.append(make("div", `and ${near.length - MOST_NAMED} more`, "muted"));
  tip.hidden = !near.length;
  document.body.append(mark); // not in the figure, which would be painted again
  mark.style.cssText = `left: ${clientX}px; top: ${area.top}px; height: ${area.height}px`;
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
    chart.plot.addEventListener("mousemove", (event) => event.buttons || point(chart, event));
    chart.plot.addEventListener("mouseleave", () => touched.matches || leave());
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
  for (const name of ["logx", "logy", "all", "linked", "seeds"]) change(name, (field) => field.checked);
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
  id("seeds").parentElement.hidden = !data.settings.length;
  id("find").oninput = () => {
    filter();
    legend();
    redrawAll();
  };
  dark.onchange = () => {
    legend();
    redrawAll();
  };
  addEventListener("scroll", leave, { passive: true });
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
