// Data of the page, and the state that its address keeps. Text from records enters the document as text only.

const data = JSON.parse(document.getElementById("data-rows").textContent);
const COUNT = data.board.length;
const SPIKING = 0, TWIN = 1, ANN = 2;
const CODING_NAMES = {
  unary: "n spikes (unary)", smallest: "smallest amplitudes", binary: "ones in binary (binary)", graded: "one event (graded)",
};

let parsed = null;
/** The records, parsed when the first is opened. */
function records() {
  parsed ??= JSON.parse(document.getElementById("data-records").textContent);
  return parsed;
}

const DEFAULTS = {
  price: data.default, coding: "unary", latency: "", task: "", network: "", samples: "", method: "", energy: "", front: "",
  hidden: "", sort: "value", down: "1", record: "",
};
/** The board of most rows is what a reader without wishes sees first. */
const first = data.boards[data.boards.map((_, place) => data.board.filter((one) => one === place).length)
  .reduce((best, count, place, counts) => count > counts[best] ? place : best, 0)];
const state = { ...DEFAULTS, task: first.task, network: first.network, samples: first.profile, ...fromAddress() };

function fromAddress() {
  const given = new URLSearchParams(location.hash.startsWith("#?") ? location.hash.slice(2) : "");
  const known = {};
  for (const [name, value] of given) if (name in DEFAULTS) known[name] = value;
  if (!data.prices.includes(known.price)) delete known.price;
  if (!data.codings.includes(known.coding)) delete known.coding;
  return known;
}

function keepInAddress() {
  const kept = new URLSearchParams();
  for (const name of Object.keys(DEFAULTS)) {
    if (state[name] !== DEFAULTS[name] || ["task", "network", "samples"].includes(name)) kept.set(name, state[name]);
  }
  history.replaceState(null, "", `#?${kept}`);
}

const text = (column, row) => data[column].names[data[column].codes[row]];
const board = (row) => data.boards[data.board[row]];
const share = (row) => data.share[state.price][state.coding][row];
const millijoules = (row) => {
  const ann = board(row).millijoules;
  return ann === null || share(row) === null ? null : share(row) * ann[state.price] / 100;
};
const aboveAnn = (row) => board(row).ann === null ? null : data.value[row] - board(row).ann;
const inTime = (row) => state.latency === "" || data.final[row] === null || data.final[row] <= Number(state.latency);

/** Rows of each board, by the board's place. */
const ofBoard = data.boards.map(() => []);
for (let row = 0; row < COUNT; row++) ofBoard[data.board[row]].push(row);

/** The front of a board: spiking rows in time that none beats in score and energy; none at chance. */
function frontOf(place) {
  const rows = ofBoard[place].filter((row) =>
    data.kind[row] === SPIKING && !data.chance[row] && share(row) !== null && inTime(row));
  rows.sort((a, b) => share(a) - share(b) || data.value[b] - data.value[a]);
  let best = -Infinity;
  return rows.filter((row) => data.value[row] > best && ((best = data.value[row]), true));
}

let fronts = [], onFront = new Set();
function findFronts() {
  fronts = data.boards.map((_, place) => frontOf(place));
  onFront = new Set(fronts.flat());
}

/** Places of the rows that pass all filters. */
function filtered() {
  const hidden = new Set(state.hidden.split(" ").filter(Boolean));
  const words = state.method.toLowerCase().split(/\s+/).filter(Boolean);
  const most = state.energy === "" ? null : Number(state.energy);
  const fits = data.method.names.map((name) => words.every((word) => name.toLowerCase().includes(word)));
  const wanted = data.boards.map((one) =>
    (state.task === "" || one.task === state.task) && (state.network === "" || one.network === state.network)
    && (state.samples === "" || one.profile === state.samples));
  const found = [];
  for (let row = 0; row < COUNT; row++) {
    if (wanted[data.board[row]] && fits[data.method.codes[row]] && !hidden.has(String(data.family.codes[row]))
      && inTime(row) && (most === null || (share(row) !== null && share(row) <= most))
      && (state.front === "" || onFront.has(row))) found.push(row);
  }
  return found;
}

// Text as people read it.
const MINUS = "\u2212";
const number = (value, digits) => value === null || value === undefined ? "" : value.toFixed(digits).replace("-", MINUS);
const signed = (value, digits) => value === null ? "" : (value >= 0 ? "+" : "") + number(value, digits);
const figure = (value, digits = 3) => {
  if (value === null || value === undefined) return "";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e15 || size < 1e-3) return value.toExponential(digits - 1).replace("-", MINUS);
  for (const [least, unit] of [[1e12, " T"], [1e9, " G"], [1e6, " M"], [1e4, " k"]]) {
    if (size >= least) return Number((value / (unit === " k" ? 1e3 : least)).toPrecision(digits)) + unit;
  }
  return String(Number(value.toPrecision(digits))).replace("-", MINUS);
};
const steps = (row) => data.final[row] === null ? ""
  : (data.first[row] > 1 && data.first[row] !== data.final[row] ? `${figure(data.first[row])} to ` : "")
    + `${figure(data.final[row])} step${data.final[row] === 1 ? "" : "s"}`;

/** An element with attributes and children; strings become text, never markup. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, run] of Object.entries(value)) made.addEventListener(event, run);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null));
  return made;
}
const byId = (id) => document.getElementById(id);
