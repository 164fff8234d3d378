// The record behind a row: figures, the command that measures it again, curves, layers and provenance.

let smallPlots = [], opened = null;

function openRecord(row, seed = 0) {
  const all = records(), place = data.cells[row][seed], record = all.records[place], dialog = byId("record");
  smallPlots.forEach((one) => one.finalize());
  smallPlots = [];
  opened = row;
  dialog.replaceChildren(head(row, seed), element("div", { class: "body" },
    facts(row, record), reproduce(record), prices(row), charts(record), layerTable(record, all), more(record)));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  for (const [id, made] of chartsOf(record, all)) draw(byId(id), made);
  state.record = record.cell;
  keepInAddress();
}

function head(row, seed) {
  const seeds = data.cells[row];
  const chooser = seeds.length < 2 ? null : element("label", {}, "seed ", element("select", {
    on: { change: (event) => openRecord(row, Number(event.target.value)) },
  }, seeds.map((place, at) => element("option", { value: String(at), selected: at === seed }, String(records().records[place].seed)))));
  return element("div", { class: "head" },
    element("h2", { id: "record-title" }, element("code", {}, text("method", row)), data.T[row] === null ? "" : ` T=${data.T[row]}`,
      element("div", { class: "fine" }, `${board(row).task}, ${board(row).network}, ${board(row).profile === "full" ? "all" : "the first"} ${data.n[row]} test samples, ${data.calibration[row]} calibration samples`)),
    chooser, element("button", { type: "button", "aria-label": "Close", autofocus: true, on: { click: () => byId("record").close() } }, "Close"));
}

function facts(row, record) {
  const [, value, low, high] = record.metrics.find(([name]) => name === record.primary);
  const fact = (name, figure, note) => element("div", {}, element("dt", {}, name), element("dd", {}, figure, element("small", {}, note)));
  const totals = record.totals;
  return element("dl", { class: "facts" },
    fact(record.primary, `${number(value, 2)} %`, `95 %: ${number(low, 2)} to ${number(high, 2)}`),
    board(row).ann === null ? null : fact("to the ANN", `${signed(value - board(row).ann, 2)}`, `points; the ANN has ${number(board(row).ann, 2)} %`),
    share(row) === null ? null : fact("energy", `${number(share(row), 1)} %`, `of the ANN's; ${figure(millijoules(row))} mJ, ${state.price}, ${state.coding}`),
    data.final[row] === null ? null : fact("latency", `${figure(totals.latency_final)} steps`, `first answer after ${figure(totals.latency_first)}`),
    fact("spikes", figure(totals.spikes), `of one sample, in ${figure(totals.steps)} steps`),
    record.metrics.filter(([name]) => name !== record.primary).map(([name, other]) => fact(name, `${number(other, 2)} %`, "")));
}

function reproduce(record) {
  const copy = (line) => element("button", { type: "button", on: { click: async (event) => {
    const button = event.currentTarget;
    await navigator.clipboard?.writeText(line).catch(() => {});
    button.textContent = "Copied";
  } } }, "Copy");
  return element("section", {}, element("h3", {}, "Measure it again"),
    record.commands.map((line) => element("div", { class: "command" }, element("pre", {}, line), copy(line))),
    element("p", { class: "fine" }, `From suite ${record.suite}${record.others.length ? `, also in ${record.others.join(", ")}` : ""}. `
      + (record.verified ? `Verified: ${record.verified}. ` : "")
      + "DATA stands for your folder of data sets and weights; python run_all.py doctor says what has to be there."));
}

function prices(row) {
  return element("section", {}, element("h3", {}, "Energy by price list, % of the ANN's"),
    element("div", { class: "scroll", tabindex: "0" }, element("table", {},
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "price list"), data.codings.map((name) => element("th", { scope: "col", class: "num" }, name)))),
      element("tbody", {}, data.prices.map((name) => element("tr", {}, element("th", { scope: "row" }, element("code", {}, name)),
        data.codings.map((coding) => element("td", { class: "num" }, number(data.share[name][coding][row], 1)))))))));
}

/** Identifiers of the small charts, and their specifications. */
function chartsOf(record, all) {
  const at = all.layer, named = (layer) => all.texts[layer[at.name]];
  const axis = (title, more = {}) => ({ type: "quantitative", axis: { title, tickCount: 5, ...more } });
  const step = (title) => ({ field: "step", type: "ordinal", axis: { title, labelAngle: 0, labelOverlap: true } });
  const made = [];
  const accent = colour("--c0"), series = (values, mark, encoding) => ({ data: { values }, mark, encoding });
  if (record.curve.length > 1) {
    made.push(["curve", series(record.curve.map(([at, score]) => ({ step: at, score })), { type: "line", point: true, color: accent },
      { x: step("step"), y: { field: "score", ...axis(`${record.primary}, %`), scale: { zero: false } } })]);
  }
  if (record.exits.length) {
    made.push(["exits", series(record.exits.map((part, place) => ({ step: place + 1, part: 100 * part })), { type: "bar", color: accent },
      { x: step("left after step"), y: { field: "part", ...axis("samples, %") } })]);
  }
  if (record.activity.length > 1) {
    made.push(["activity", series(record.activity.map((spikes, place) => ({ step: place + 1, spikes })), { type: "bar", color: accent },
      { x: step("step"), y: { field: "spikes", ...axis("spikes of one sample", { format: "~s" }) } })]);
  }
  const layers = record.layers.map((layer, place) => ({ layer, place: place + 1, name: named(layer) }));
  const order = { field: "place", type: "ordinal", axis: { title: "layer", labelAngle: 0, labelOverlap: true } };
  if (layers.some(({ layer }) => layer[at.spikes] !== null)) {
    made.push(["spiked", series(layers.map(({ layer, place }) => ({ place, spikes: layer[at.spikes] })), { type: "bar", color: accent },
      { x: order, y: { field: "spikes", ...axis("spikes of one sample", { format: "~s" }) } })]);
  }
  if (layers.some(({ layer }) => layer[at.total] !== null)) {
    const parts = ["inherited", "clipping", "quantisation", "unevenness", "total"];
    const tones = ["--grey", "--c1", "--c2", "--c3", "--ink"].map(colour);
    made.push(["errors", series(layers.flatMap(({ layer, place }) => parts.map((part) => ({ place, part, error: layer[at[part]] }))),
      { type: "line", point: { size: 18 } },
      { x: order, y: { field: "error", ...axis("RMS error, %") },
        color: { field: "part", type: "nominal", scale: { domain: parts, range: tones }, legend: { title: null, orient: "top", symbolType: "stroke" } },
        strokeDash: { condition: { test: "datum.part === 'total'", value: [1, 0] }, value: [4, 2] } })]);
  }
  return made;
}

const CAPTIONS = {
  curve: "Score after each step of this conversion", exits: "Early exit: where samples left", activity: "Spikes in each step",
  spiked: "Spikes of each layer", errors: "Error of each layer, by kind, in percent of its activation",
};

function charts(record) {
  return element("section", { class: "small" }, chartsOf(record, records()).map(([id]) =>
    element("figure", { class: id === "errors" ? "wide" : null }, element("figcaption", {}, CAPTIONS[id]), element("div", { id, role: "img", "aria-label": CAPTIONS[id] }))));
}

async function draw(container, made) {
  const whole = { ...made, width: Math.max(200, container.clientWidth - 8), height: 170, autosize: { type: "fit", contains: "padding" }, config: vegaTheme() };
  smallPlots.push(await embed(container, whole, "svg"));
}

function layerTable(record, all) {
  const at = all.layer;
  if (!record.layers.length) return element("section", {});
  const say = (place) => (layer) => layer[at[place]] === null ? "" : typeof layer[at[place]] === "number" ? figure(layer[at[place]]) : layer[at[place]];
  const named = (place) => (layer) => all.texts[layer[at[place]]] ?? "";
  const columns = [
    ["layer", named("name")], ["neurons", say("neurons")], ["phi", say("phi")], ["rho", say("rho")],
    ["threshold", (layer) => layer[at.threshold_low] === null ? "" : layer[at.threshold_low] === layer[at.threshold_high]
      ? figure(layer[at.threshold_low]) : `${figure(layer[at.threshold_low])} to ${figure(layer[at.threshold_high])}`],
    ["rate", say("rate")], ["silent, %", (layer) => layer[at.silent] === null ? "" : figure(100 * layer[at.silent])],
    ["inherited", say("inherited")], ["clipping", say("clipping")], ["quantisation", say("quantisation")],
    ["unevenness", say("unevenness")], ["total error, %", say("total")], ["spikes", say("spikes")], ["operations", say("synops")],
  ].filter(([, shown], place) => place === 0 || record.layers.some((layer) => shown(layer) !== ""));
  return element("section", {}, element("h3", {}, `${record.layers.length} layers`),
    element("div", { class: "scroll", tabindex: "0" }, element("table", { id: "layers" },
      element("thead", {}, element("tr", {}, columns.map(([title], place) => element("th", { scope: "col", class: place ? "num" : null }, title)))),
      element("tbody", {}, record.layers.map((layer) => element("tr", {}, columns.map(([, shown], place) =>
        element("td", { class: place ? "num" : null, title: place ? null : named("source")(layer) || null }, String(shown(layer))))))))));
}

function more(record) {
  const pairs = (title, found) => Object.keys(found).length === 0 ? null : element("details", {}, element("summary", {}, title),
    element("dl", { class: "pairs" }, Object.entries(found).map(([name, value]) => [element("dt", {}, name), element("dd", {}, String(value))])));
  return element("section", {}, element("h3", {}, "Provenance"),
    element("p", { class: "fine" }, `Converted in ${figure(record.seconds[0])} s, evaluated in ${figure(record.seconds[1])} s; `
      + `${record.calibration} calibration samples, seed ${record.seed}; commit ${(record.provenance.git ?? "").slice(0, 10) || "unknown"}.`),
    pairs("Machine and versions", record.provenance), pairs("Digests of what it depends on", record.fingerprint),
    pairs("Not as in the dataset", record.departures), pairs("Counts of one sample", record.totals), pairs("Cell", { id: record.cell }));
}

function listenToRecord() {
  const dialog = byId("record");
  dialog.addEventListener("close", () => {
    state.record = "";
    opened = null;
    keepInAddress();
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button[data-row]");
    if (button) openRecord(Number(button.dataset.row));
  });
}

/** Opens the record that the address names. */
function openFromAddress() {
  if (!state.record) return;
  const place = records().records.findIndex((record) => record.cell === state.record);
  const row = data.cells.findIndex((cells) => cells.includes(place));
  if (place >= 0 && row >= 0) openRecord(row, data.cells[row].indexOf(place));
}
