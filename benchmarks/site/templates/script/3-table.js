// The leaderboard: thousands of rows in order, of which the visible ones are in the document.

const ROW = 34, AROUND = 12, PRINTED = 400;
const interval = (row) => ` \u00b1${number((data.high[row] - data.low[row]) / 2, 1)}`;
const kindOf = (row) => data.kind[row] === ANN ? " (ANN)" : data.kind[row] === TWIN ? " (twin)" : "";

/** Columns: key, title, value to sort by, text. Ranks of names make their order a matter of numbers. */
const COLUMNS = [
  ["task", "task", (row) => taskRank[data.board[row]], (row) => board(row).task],
  ["network", "network", (row) => networkRank[data.board[row]], (row) => board(row).network],
  ["method", "method", (row) => methodRank[data.method.codes[row]], (row) => text("method", row) + kindOf(row)],
  ["T", "T", (row) => data.T[row], (row) => data.T[row] ?? ""],
  ["value", "score, %", (row) => data.value[row], (row) => number(data.value[row], 2)],
  ["above", "to ANN", aboveAnn, (row) => signed(aboveAnn(row), 2)],
  ["share", "energy, % of ANN", share, (row) => number(share(row), 1)],
  ["mJ", "energy, mJ", millijoules, (row) => figure(millijoules(row))],
  ["first", "first answer", (row) => data.first[row], (row) => figure(data.first[row])],
  ["final", "final answer", (row) => data.final[row], (row) => figure(data.final[row])],
  ["spikes", "spikes", (row) => data.spikes[row], (row) => figure(data.spikes[row])],
  ["code", "code", (row) => codeRank[data.code.codes[row]], (row) => text("code", row)],
  ["calibration", "calibration", (row) => data.calibration[row], (row) => String(data.calibration[row])],
  ["n", "samples", (row) => data.n[row], (row) => `${board(row).profile === "full" ? "" : "first "}${data.n[row]}`],
  ["suite", "suite", (row) => suiteRank[data.suite.codes[row]], (row) => text("suite", row)],
];
const RIGHT = new Set(["T", "value", "above", "share", "mJ", "first", "final", "spikes", "calibration", "n"]);
const ranks = (names) => {
  const order = [...names.keys()].sort((a, b) => names[a].localeCompare(names[b], "en", { numeric: true }));
  const found = [];
  order.forEach((name, rank) => { found[name] = rank; });
  order.forEach((name, rank) => { if (rank && names[name] === names[order[rank - 1]]) found[name] = found[order[rank - 1]]; });
  return found;
};
const taskRank = ranks(data.boards.map((one) => one.task));
const networkRank = ranks(data.boards.map((one) => one.network));
const methodRank = ranks(data.method.names), codeRank = ranks(data.code.names), suiteRank = ranks(data.suite.names);

/** The columns of the present filters: without those that say the same in every row. */
const columns = () => COLUMNS.filter(([key]) => !(["task", "network"].includes(key) && state[key] !== ""));

let view = [], active = 0, printing = false;

/** Sorts places of rows by the chosen column; rows without a value come last, equal ones by energy. */
function sorted(rows) {
  const value = (COLUMNS.find(([key]) => key === state.sort) ?? COLUMNS[4])[2];
  const way = state.down ? -1 : 1;
  const keys = new Float64Array(COUNT), shares = new Float64Array(COUNT);
  for (const row of rows) {
    const key = value(row);
    keys[row] = key === null || key === undefined ? Infinity : way * key;
    shares[row] = share(row) ?? Infinity;
  }
  // Infinite keys are equal, and their difference is not a number.
  return rows.sort((a, b) => (keys[a] === keys[b] ? 0 : keys[a] - keys[b])
    || (shares[a] === shares[b] ? 0 : shares[a] - shares[b]) || a - b);
}

function drawHead() {
  byId("rows").tHead.replaceChildren(element("tr", {}, columns().map(([key, title]) => {
    const chosen = state.sort === key;
    const order = chosen ? (state.down ? "descending" : "ascending") : null;
    return element("th", { scope: "col", class: RIGHT.has(key) ? "num" : null, "aria-sort": order },
      element("button", { type: "button", "data-key": key, on: { click: () => sortBy(key) } },
        title + (chosen ? (state.down ? " \u2193" : " \u2191") : "")));
  })));
}

function sortBy(key) {
  const down = state.sort === key ? !state.down : RIGHT.has(key) && !["T", "share", "mJ", "first", "final"].includes(key);
  Object.assign(state, { sort: key, down: down ? "1" : "" });
  drawHead();
  byId("rows").tHead.querySelector(`[data-key="${key}"]`).focus();
  view = sorted(view);
  active = 0;
  byId("scroller").scrollTop = 0;
  drawRows();
  keepInAddress();
}

/** Puts the rows in sight into the document, and room for the others above and below. */
function drawRows() {
  const scroller = byId("scroller");
  const from = printing ? 0 : Math.max(0, Math.floor(scroller.scrollTop / ROW) - AROUND);
  const until = printing ? Math.min(view.length, PRINTED)
    : Math.min(view.length, Math.ceil((scroller.scrollTop + (scroller.clientHeight || 560)) / ROW) + AROUND);
  const made = [];
  for (let place = from; place < until; place++) made.push(rowOf(view[place], place));
  const space = (rows) => element("tr", { class: "space", "aria-hidden": "true" },
    element("td", { colspan: columns().length, style: `height:${printing ? 0 : rows * ROW}px` },
      printing && view.length > until && rows ? `${view.length - until} further rows are not printed.` : ""));
  const body = byId("rows").tBodies[0];
  const focused = body.contains(document.activeElement);
  body.replaceChildren(space(from), ...made, space(view.length - until));
  byId("rows").setAttribute("aria-rowcount", String(view.length + 1));
  if (focused) body.querySelector('[tabindex="0"]')?.focus({ preventScroll: true });
}

function rowOf(row, place) {
  const kind = data.kind[row] === SPIKING ? (onFront.has(row) ? "front" : null) : "other";
  return element("tr", {
    class: kind, tabindex: place === active ? "0" : "-1", "aria-rowindex": String(place + 2), "data-place": String(place),
    on: { click: () => { active = place; openRecord(row); } },
  }, columns().map(([key, , , shown]) => {
    const cell = element("td", { class: RIGHT.has(key) ? "num" : null }, String(shown(row)));
    if (key === "method") cell.title = text("method", row);
    if (key === "value") cell.append(element("span", { class: "ci" }, interval(row)));
    return cell;
  }));
}

/** Moves to a row by its place in the order, and into sight. */
function moveTo(place) {
  active = Math.max(0, Math.min(view.length - 1, place));
  const scroller = byId("scroller"), top = active * ROW;
  if (top < scroller.scrollTop) scroller.scrollTop = top;
  const head = byId("rows").tHead.offsetHeight;
  if (top + ROW > scroller.scrollTop + scroller.clientHeight - head) scroller.scrollTop = top + ROW - scroller.clientHeight + head;
  drawRows();
  byId("rows").tBodies[0].querySelector('[tabindex="0"]')?.focus({ preventScroll: true });
}

function listenToTable() {
  let asked = 0;
  byId("scroller").addEventListener("scroll", () => {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(drawRows);
  });
  byId("rows").tBodies[0].addEventListener("keydown", (event) => {
    const page = Math.floor(byId("scroller").clientHeight / ROW) - 2;
    const place = {
      ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + page, PageUp: active - page, Home: 0, End: view.length - 1,
    }[event.key];
    if (place !== undefined) {
      event.preventDefault();
      moveTo(place);
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      openRecord(view[active]);
    }
  });
  addEventListener("beforeprint", () => { printing = true; drawRows(); });
  addEventListener("afterprint", () => { printing = false; drawRows(); });
}
