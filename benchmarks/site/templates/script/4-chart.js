// Score against energy, drawn by Vega: wheel and drag zoom and pan, a click opens the record.

const SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "stroke"];
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const FRONT_COLOURS = 7;
/** The most rows of a front that have their names beside them: more would cover each other. */
const LABELLED = 14;

/** Colours and shapes go to the families of most rows; the others share the last, and what does not spike is grey. */
const families = (() => {
  const counts = new Map();
  for (let row = 0; row < COUNT; row++) {
    if (data.kind[row] === SPIKING) counts.set(data.family.codes[row], (counts.get(data.family.codes[row]) ?? 0) + 1);
  }
  const order = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || a - b);
  return order.map((code, place) => ({
    code, name: data.family.names[code], colour: `--c${Math.min(place, FRONT_COLOURS - 1)}`,
    shape: SHAPES[Math.min(place, FRONT_COLOURS - 1)],
  }));
})();
const familyOf = new Map(families.map((one) => [one.code, one]));

let plot = null, finish = () => {}, frame = null, drawn = 0;

function vegaTheme() {
  const ink = colour("--ink"), dim = colour("--dim"), line = colour("--line");
  return {
    background: "transparent", font: getComputedStyle(document.body).fontFamily, view: { stroke: line },
    axis: {
      labelColor: dim, titleColor: ink, gridColor: line, gridOpacity: 0.7, domainColor: line, tickColor: line,
      labelFontSize: 12, titleFontSize: 12.5, titleFontWeight: "normal", titlePadding: 8,
    },
    legend: { labelColor: dim, titleColor: ink }, text: { color: ink }, title: { color: ink },
  };
}

/** What the vertical axis shows: scores where all rows are of one task, else their distance from the ANN's. */
function scoreOf(rows) {
  const tasks = new Set(rows.map((row) => `${board(row).task} ${board(row).network}`));
  const metrics = new Set(rows.map((row) => board(row).metric));
  return tasks.size <= 1
    ? { of: (row) => data.value[row], title: `${[...metrics][0] ?? "score"}, %` }
    : { of: aboveAnn, title: "score minus the ANN's, points" };
}

/** The range of the front and what lies beside it, or of all rows. */
function rangeOf(points, whole) {
  let kept = points;
  if (!whole) {
    const front = points.filter((point) => point.front);
    const anchor = front.length ? front : points;
    const top = Math.max(...anchor.map((point) => point.score));
    const least = Math.max(Math.min(...anchor.map((point) => point.score)), top - 12);
    const inSight = anchor.filter((point) => point.score >= least);
    const most = Math.max(...inSight.map((point) => point.share)) * 3;
    kept = points.filter((point) => point.score >= least - 1 && point.share <= most);
  }
  const scores = kept.map((point) => point.score), shares = kept.map((point) => point.share);
  const low = Math.min(...scores), high = Math.max(...scores), pad = Math.max((high - low) * 0.08, 0.2);
  return { x: [Math.min(...shares) / 1.15, Math.max(...shares) * 1.15], y: [low - pad, high + pad] };
}

function pointsOf(rows, score) {
  return rows.filter((row) => share(row) > 0 && score.of(row) !== null).map((row) => {
    const family = data.kind[row] === SPIKING ? familyOf.get(data.family.codes[row]) : null;
    return {
      row, share: share(row), score: score.of(row), front: onFront.has(row), above: onFront.has(row) ? 1 : 0, board: data.board[row],
      label: `${text("method", row)}, T=${data.T[row]}`, low: score.of(row) - (data.value[row] - data.low[row]), high: score.of(row) + (data.high[row] - data.value[row]),
      colour: colour(family ? family.colour : "--grey"), shape: family ? family.shape : data.kind[row] === ANN ? "wedge" : "diamond",
    };
  });
}

function spec(rows) {
  const score = scoreOf(rows), points = pointsOf(rows, score);
  frame ??= points.length ? rangeOf(points, false) : { x: [1, 100], y: [0, 100] };
  const x = {
    field: "share", type: "quantitative", scale: { type: "log", domain: frame.x, nice: false },
    axis: { title: `energy of one sample, % of the ANN's (${state.price}, ${state.coding})`, format: "~g", tickCount: 8 },
  };
  const y = { field: "score", type: "quantitative", scale: { domain: frame.y, zero: false, nice: false }, axis: { title: score.title } };
  const given = { colour: { field: "colour", type: "nominal", scale: null }, shape: { field: "shape", type: "nominal", scale: null } };
  const anns = [...new Set(rows.map((row) => data.board[row]))].map((place) => data.boards[place]).filter((one) => one.ann !== null);
  const level = scoreOf(rows).title.startsWith("score minus") ? [{ score: 0 }] : [...new Set(anns.map((one) => one.ann))].map((ann) => ({ score: ann }));
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json", width: "container", height: "container",
    autosize: { type: "fit", contains: "padding" }, padding: 4, config: vegaTheme(),
    layer: [
      { data: { values: level }, mark: { type: "rule", strokeDash: [5, 4], color: colour("--grey"), clip: true }, encoding: { y: { field: "score", type: "quantitative" } } },
      { data: { values: points.filter((point) => point.front) }, mark: { type: "line", interpolate: "step-after", color: colour("--accent"), strokeWidth: 1.5, opacity: 0.7, clip: true },
        encoding: { x: { field: "share", type: "quantitative" }, y: { field: "score", type: "quantitative" }, detail: { field: "board", type: "nominal" } } },
      { data: { values: points.filter((point) => point.front) }, mark: { type: "rule", opacity: 0.55, clip: true },
        encoding: { x: { field: "share", type: "quantitative" }, y: { field: "low", type: "quantitative" }, y2: { field: "high" }, color: given.colour } },
      { name: "points", data: { name: "points", values: points }, params: [{ name: "grid", select: "interval", bind: "scales" }],
        mark: { type: "point", size: 60, strokeWidth: 1.5, cursor: "pointer", clip: true },
        encoding: {
          x, y, shape: given.shape, color: given.colour,
          fill: { condition: { test: "datum.front", field: "colour", type: "nominal", scale: null }, value: "transparent" },
          fillOpacity: { value: 0.85 }, strokeOpacity: { condition: { test: "datum.front", value: 1 }, value: 0.65 },
          size: { condition: { test: "datum.front", value: 95 }, value: 45 }, order: { field: "above", type: "quantitative" },
        } },
      { data: { values: points.filter((point) => point.front).length <= LABELLED ? points.filter((point) => point.front) : [] },
        mark: { type: "text", align: "left", baseline: "bottom", dx: 7, dy: -5, fontSize: 11, limit: 190, clip: true, color: colour("--ink") },
        encoding: { x: { field: "share", type: "quantitative" }, y: { field: "score", type: "quantitative" }, text: { field: "label" } } },
    ],
  };
}

/** Draws a specification; its expressions are interpreted, for the page's policy lets no text become code. */
const embed = (container, made, renderer) => vegaEmbed(container, made, {
  mode: "vega-lite", actions: false, ast: true, defaultStyle: false, tooltip: false, renderer, hover: false,
  loader: { load: refuse, sanitize: refuse, http: refuse, file: refuse },
});
const refuse = () => Promise.reject(new Error("The page loads nothing."));

/** Draws the chart of some rows. Of many, as pixels rather than elements. */
async function drawChart(rows) {
  const turn = ++drawn, made = spec(rows), result = await embed(byId("chart"), made, rows.length > 1500 ? "canvas" : "svg");
  if (turn !== drawn) {
    result.finalize();
    return;
  }
  finish();
  ({ view: plot, finalize: finish } = result);
  plot.addEventListener("click", (event, item) => { if (item?.datum?.row !== undefined) openRecord(item.datum.row); });
  plot.addEventListener("mousemove", (event, item) => tip(event, item?.datum?.row));
  plot.addEventListener("mouseout", () => tip(null));
  sayOutside(made);
}

function sayOutside(made) {
  const points = made.layer[3].data.values;
  const outside = points.filter((point) =>
    point.score < frame.y[0] || point.score > frame.y[1] || point.share < frame.x[0] || point.share > frame.x[1]).length;
  byId("chart-note").textContent = `Filled: the front of spiking networks, with 95 % intervals; grey: quantised twins, which `
    + `compete among themselves; dashed: the ANN. Wheel or drag to zoom and pan, click to open.`
    + (outside ? ` ${outside} of ${points.length} rows lie outside of the frame.` : "");
}

function tip(event, row) {
  document.getElementById("tip")?.remove();
  if (!event || row === undefined) return;
  const box = element("div", { id: "tip", role: "tooltip" }, element("b", {}, text("method", row)),
    [`${board(row).task}, ${board(row).network}${data.T[row] === null ? "" : `, T=${data.T[row]}`}`,
      `${board(row).metric} ${number(data.value[row], 2)} [${number(data.low[row], 2)}, ${number(data.high[row], 2)}], ANN ${number(board(row).ann, 2)}`,
      `${number(share(row), 1)} % of the ANN's energy, ${figure(millijoules(row))} mJ`, steps(row),
    ].filter(Boolean).map((line) => element("div", {}, line)));
  document.body.append(box);
  const space = 14, size = box.getBoundingClientRect();
  box.style.left = `${Math.max(4, Math.min(event.clientX + space, innerWidth - size.width - 8))}px`;
  box.style.top = `${event.clientY + space + size.height > innerHeight ? event.clientY - size.height - space : event.clientY + space}px`;
}

/** Zooms about the middle of what is in sight; a factor below 1 zooms in. */
function zoom(factor) {
  const [left, right] = domainOf("x").map(Math.log), [low, high] = domainOf("y");
  const about = (from, to) => [(from + to) / 2 - factor * (to - from) / 2, (from + to) / 2 + factor * (to - from) / 2];
  frame = { x: about(left, right).map(Math.exp), y: about(low, high) };
  drawChart(view);
}
const domainOf = (name) => plot.scale(name).domain();

function drawLegend() {
  const hidden = new Set(state.hidden.split(" ").filter(Boolean));
  const here = new Set(wantedRows().map((row) => data.family.codes[row]));
  const made = families.filter((one) => here.has(one.code)).map((one) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "-8 -8 16 16");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", shapePath(one.shape));
    path.setAttribute("fill", colour(one.colour));
    path.setAttribute("stroke", colour(one.colour));
    path.setAttribute("stroke-width", "2");
    svg.append(path);
    const shown = !hidden.has(String(one.code));
    return element("button", { type: "button", "aria-pressed": String(shown), on: { click: () => toggle(one.code) } }, svg, one.name);
  });
  byId("legend").replaceChildren(...made);
}

const shapePath = (shape) => ({
  circle: "M-5,0A5,5 0 1 0 5,0A5,5 0 1 0 -5,0Z", square: "M-5,-5H5V5H-5Z", "triangle-up": "M0,-5.5L6,5H-6Z",
  diamond: "M0,-6.5L6,0L0,6.5L-6,0Z", cross: "M-2,-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z", "triangle-down": "M0,5.5L6,-5H-6Z", stroke: "M-6,0H6",
}[shape]);

function wantedRows() {
  return [...Array(COUNT).keys()].filter((row) => (state.task === "" || board(row).task === state.task)
    && (state.network === "" || board(row).network === state.network)
    && (state.samples === "" || board(row).profile === state.samples) && data.kind[row] === SPIKING);
}

function toggle(code) {
  const hidden = new Set(state.hidden.split(" ").filter(Boolean));
  if (!hidden.delete(String(code))) hidden.add(String(code));
  state.hidden = [...hidden].join(" ");
  update();
}
