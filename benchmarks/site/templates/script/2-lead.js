// The best rows of each board within a share of the ANN's energy.

const BUDGETS = [10, 20, 50, 100], NEAR = 1;

const samplesOf = (one) => `${one.profile === "full" ? "all" : "first"} ${one.n} samples`;

function bestWithin(place, most) {
  const able = fronts[place].filter((row) => share(row) <= most);
  return able.length ? able[able.length - 1] : null;  // Scores rise along a front.
}

function cheapestNear(place) {
  const ann = data.boards[place].ann;
  return fronts[place].find((row) => ann !== null && data.value[row] >= ann - NEAR) ?? null;
}

function pick(row) {
  if (row === null) return element("td", {}, element("span", { class: "what" }, "none"));
  return element("td", {}, element("button", { type: "button", class: "pick", on: { click: () => openRecord(row) } },
    element("span", { class: "score" }, number(data.value[row], 2)), ` at ${number(share(row), 1)} %`,
    element("code", { class: "what", title: text("method", row) }, text("method", row)),
    element("span", { class: "what" }, `T=${data.T[row]}, ${steps(row)}`)));
}

function drawLead() {
  const head = ["task and network", "ANN", `within ${NEAR} point of it`, ...BUDGETS.map((most) => `at most ${most} %`)];
  byId("best").tHead.replaceChildren(element("tr", {}, head.map((name, place) =>
    element("th", { scope: "col", class: place === 1 ? "num" : null }, name))));
  byId("best").tBodies[0].replaceChildren(...data.boards.map((one, place) => element("tr", {},
    element("th", { scope: "row" },
      element("button", { type: "button", class: "filter", on: { click: () => show(one) } }, one.task),
      element("span", { class: "what" }, one.network),
      element("span", { class: "what" }, `${one.metric}, ${samplesOf(one)}${one.precision && one.precision !== "float32" ? `, ${one.precision}` : ""}`)),
    element("td", { class: "num" }, number(one.ann, 2)),
    pick(cheapestNear(place)), BUDGETS.map((most) => pick(bestWithin(place, most))))));
}

/** Sets the filters to one board's task and network. */
function show(one) {
  Object.assign(state, { task: one.task, network: one.network, samples: one.profile, method: "", energy: "", front: "", hidden: "" });
  fillFilters();
  frame = null;
  update();
  byId("leaderboard").scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}
