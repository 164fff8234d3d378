// Filters, theme, and drawing in the order in which the reader meets it.

const options = (select, found, chosen) => select.replaceChildren(...found.map(([value, name]) =>
  element("option", { value, selected: value === chosen }, name)));
const different = (values) => [...new Set(values)];

function fillFilters() {
  options(byId("price"), data.prices.map((name) => [name, name]), state.price);
  options(byId("coding"), data.codings.map((name) => [name, CODING_NAMES[name]]), state.coding);
  options(byId("task"), [["", "all tasks"], ...different(data.boards.map((one) => one.task)).map((name) => [name, name])], state.task);
  const networks = different(data.boards.filter((one) => state.task === "" || one.task === state.task).map((one) => one.network));
  if (!networks.includes(state.network)) state.network = "";
  options(byId("network"), [["", "all networks"], ...networks.map((name) => [name, name])], state.network);
  const samples = different(data.boards.filter((one) => (state.task === "" || one.task === state.task)
    && (state.network === "" || one.network === state.network)).map((one) => one.profile));
  if (!samples.includes(state.samples)) state.samples = "";
  options(byId("samples"), [["", "any"], ...samples.map((name) => [name, name === "full" ? "all" : name.replace("-", " ")])], state.samples);
  for (const id of ["latency", "method", "energy"]) byId(id).value = state[id];
  byId("front").checked = state.front !== "";
}

/** Draws everything that depends on the filters. */
function update() {
  findFronts();
  view = sorted(filtered());
  active = 0;
  byId("scroller").scrollTop = 0;
  byId("count").textContent = `${view.length} of ${COUNT} rows`;
  drawHead();
  drawRows();
  drawLegend();
  drawChart(view);
  keepInAddress();
}

function listenToFilters() {
  const changed = (id, name, reframe, read) => byId(id).addEventListener(byId(id).tagName === "INPUT" && byId(id).type !== "checkbox" ? "input" : "change", () => {
    state[name] = read(byId(id));
    if (reframe) frame = null;
    if (name === "task") state.network = "";
    if (["task", "network"].includes(name)) fillFilters();
    update();
    if (["price", "coding", "latency"].includes(name)) drawLead();
  });
  const value = (input) => input.value;
  for (const id of ["price", "coding", "task", "network", "samples"]) changed(id, id, true, value);
  for (const id of ["latency", "energy"]) changed(id, id, false, (input) => input.validity.valid ? input.value : "");
  changed("method", "method", false, value);
  changed("front", "front", false, (input) => input.checked ? "1" : "");
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", (event) => {
    event.preventDefault();
    Object.assign(state, { task: "", network: "", samples: "", method: "", energy: "", front: "", hidden: "" });
    frame = null;
    fillFilters();
    update();
  });
  byId("zoom-in").addEventListener("click", () => zoom(0.6));
  byId("zoom-out").addEventListener("click", () => zoom(1 / 0.6));
  byId("zoom-front").addEventListener("click", () => { frame = null; drawChart(view); });
  byId("zoom-all").addEventListener("click", () => {
    const points = pointsOf(view, scoreOf(view));
    if (points.length) frame = rangeOf(points, true);
    drawChart(view);
  });
}

const dark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  byId("theme").textContent = dark() ? "Light" : "Dark";
  drawLegend();
  drawChart(view);
  if (opened !== null) openRecord(opened);
}

function listenToTheme() {
  byId("theme").addEventListener("click", () => setTheme(dark() ? "light" : "dark"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTheme(null));
  byId("theme").textContent = dark() ? "Light" : "Dark";
}

fillFilters();
findFronts();
drawLead();
listenToTable();
listenToRecord();
listenToFilters();
listenToTheme();
update();
openFromAddress();
addEventListener("resize", () => plot?.resize().runAsync());
