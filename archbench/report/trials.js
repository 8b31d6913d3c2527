"use strict";

// Matplotlib draws the plots, which therefore need no script; here only marks are laid over them. A
// library that draws in the browser (uPlot 50 kB, Plot with d3 300 kB) would draw all of it twice.

const SVG = "http://www.w3.org/2000/svg";
const ROWS = 300; // of the table of trials; more only make the page slow
const NEAR = 12; // units of the drawing within which a trial is pointed at

// What the person chose, by names of columns and numbers of trials: it stays when a page that is
// served renews itself and has more of both.
const chosen = { filters: new Map(), pinned: [], columns: null, sort: ["proxy accuracy", -1] };

const draw = (tag, attributes = {}, text = "") => {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
};
const short = (value) => {
  for (const [scale, prefix] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]]) {
    if (Math.abs(value) >= scale) return (value / scale).toPrecision(3) + prefix;
  }
  return String(Number(value.toPrecision(3)));
};

// The trials of a study: marked in its plots, listed in its table, compared side by side.
function explore(data, table) {
  const { columns, trials } = data;
  const indices = [...trials.keys()];
  const front = new Set(data.front);
  const place = new Map(trials.map((number, index) => [number, index]));
  const named = new Map(columns.map(({ name }, column) => [name, column]));
  chosen.columns ??= new Set(columns.slice(0, data.shown).map(({ name }) => name));

  const key = (column, index) => {
    const value = columns[column].values[index];
    return value == null ? null : columns[column].labels?.[value] ?? value;
  };
  const told = (column, index) => {
    const { values, labels, low, high, error, scale = 1, unit } = columns[column];
    const value = values[index];
    if (value == null) return "–";
    if (labels) return labels[value];
    let text = scale === 1 ? short(value) : (scale * value).toFixed(1);
    if (low?.[index] != null) text += ` (${short(low[index])}–${short(high[index])})`;
    if (error?.[index] != null) text += ` ± ${(scale * error[index]).toFixed(1)}`;
    return unit ? `${text} ${unit}` : text;
  };
  const title = ({ name, unit }) => (unit ? `${name}, ${unit}` : name);
  const isKept = (index) => [...chosen.filters].every(([name, { low, high, label }]) => {
    const value = key(named.get(name), index);
    if (value == null) return false;
    return label === undefined ? value >= low && value <= high : value === label;
  });
  const hint = (index) => {
    const state = columns.find(({ name }) => name === "state");
    const ended = state && state.labels[state.values[index]];
    const more = front.has(trials[index]) ? "on the front" : ended;
    return `trial ${trials[index]}: ${told(2, index)}, ${told(1, index)}; ${more}`;
  };

  // Each plot says which columns its axes show; above the drawing lies a layer of our marks.
  const along = ([start, end, low, high, isLog]) => {
    const on = isLog ? Math.log : Number;
    return (value) => start + (end - start) * (on(value) - on(low)) / (on(high) - on(low));
  };
  const back = ([start, end, low, high, isLog]) => (at) => {
    const share = (at - start) / (end - start);
    return isLog ? low * (high / low) ** share : low + (high - low) * share;
  };
  const points = ({ axes: { columns: shown, ends, x, y } }) => {
    const [across, down] = [along(x), along(y)];
    if (!ends) {
      return (index) => {
        const [one, other] = shown.map((column) => columns[column].values[index]);
        return one == null || other == null ? [] : [[across(one), down(other)]];
      };
    }
    return (index) => shown.map((column, row) => {
      const { values, labels } = columns[column], [low, high] = ends[row];
      const value = values[index], rank = data.rank[index];
      if (value == null || rank == null) return null;
      const spread = (value + 0.5 + 0.7 * (rank - 0.5)) / (labels?.length ?? 1);
      return [across(labels ? spread : (value - low) / (high - low)), down(row)];
    }).filter(Boolean);
  };
  const plots = [...document.querySelectorAll("[data-axes]")].map((box) => {
    const plot = { box, axes: JSON.parse(box.dataset.axes), svg: box.querySelector("svg") };
    plot.layer = draw("g", { class: "layer", "aria-hidden": "true" });
    if (plot.axes.ends) plot.svg.querySelector("text").parentNode.before(plot.layer);
    else plot.svg.append(plot.layer);
    plot.tip = box.appendChild(make("div", { className: "tip", hidden: true }));
    const find = points(plot), known = [];
    plot.points = (index) => (known[index] ??= find(index));
    pointed(plot);
    return plot;
  });
  const outline = (plot, index) => {
    const found = plot.points(index);
    if (!plot.axes.ends) return found.map(([x, y]) => `M${x.toFixed(1)} ${y.toFixed(1)}h0`).join("");
    return found.map(([x, y], at) => `${at ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  };
  const mark = (kept) => {
    for (const plot of plots) {
      const { x, y, ends } = plot.axes, line = ends ? " line" : "";
      plot.layer.replaceChildren();
      if (chosen.filters.size) {
        const corner = { x: x[0], y: y[1], width: x[1] - x[0], height: y[0] - y[1] };
        const path = kept.map((index) => outline(plot, index)).join("");
        plot.layer.append(
          draw("rect", { class: "veil", ...corner }), draw("path", { class: `kept${line}`, d: path }),
        );
      }
      for (const number of chosen.pinned) {
        const path = outline(plot, place.get(number));
        if (!path) continue;
        const [left, top] = plot.points(place.get(number))[0];
        plot.layer.append(draw("path", { class: `pinned${line}`, d: path }));
        if (!ends) plot.layer.append(draw("text", { x: left + 6, y: top + 3 }, number));
      }
    }
  };

  // Pointing at a trial tells it, a click opens it, and dragging a rectangle keeps what lies in it.
  function pointed(plot) {
    const { svg, tip, box } = plot, { x, y, columns: shown, ends } = plot.axes;
    let from = null, area = null;
    const at = (event) => {
      const point = new DOMPoint(event.clientX, event.clientY);
      const { x: across, y: down } = point.matrixTransform(svg.getScreenCTM().inverse());
      return [across, down];
    };
    const nearest = ([across, down]) => {
      let best = null, least = NEAR;
      for (const index of indices) {
        if (chosen.filters.size && !isKept(index)) continue;
        for (const [left, top] of plot.points(index)) {
          const distance = Math.hypot(left - across, top - down);
          if (distance < least) [best, least] = [index, distance];
        }
      }
      return best;
    };
    const linked = (target) => {
      const link = target.closest?.("a");
      return link ? place.get(Number(link.getAttribute("href").split("-").pop())) : null;
    };
    const tell = (index, event) => {
      tip.hidden = index == null;
      if (tip.hidden) return;
      tip.textContent = hint(index);
      const frame = box.getBoundingClientRect(), left = event.clientX - frame.left;
      tip.style.left = `${Math.max(0, Math.min(left, frame.width - tip.offsetWidth))}px`;
      tip.style.top = `${event.clientY - frame.top + 16}px`;
    };
    for (const link of svg.querySelectorAll("a > title")) link.remove(); // or it is told twice
    svg.addEventListener("pointermove", (event) => {
      const now = at(event);
      if (!from) return tell(linked(event.target) ?? nearest(now), event);
      area ??= plot.layer.appendChild(draw("rect", { class: "brush" }));
      const [left, right] = [from[0], now[0]].sort((a, b) => a - b);
      const [top, bottom] = [from[1], now[1]].sort((a, b) => a - b);
      const corner = { x: left, y: top, width: right - left, height: bottom - top };
      for (const [name, value] of Object.entries(corner)) area.setAttribute(name, value);
    });
    svg.addEventListener("pointerleave", () => { tip.hidden = true; });
    svg.addEventListener("focusin", (event) => {
      const frame = event.target.getBoundingClientRect();
      tell(linked(event.target), { clientX: frame.right, clientY: frame.bottom });
    });
    svg.addEventListener("focusout", () => { tip.hidden = true; });
    svg.addEventListener("pointerdown", (event) => {
      const [across, down] = at(event);
      const isWithin = across > x[0] && across < x[1] && down > y[1] && down < y[0];
      if (ends || !isWithin || event.pointerType === "touch" || event.button) return;
      from = [across, down];
      svg.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    svg.addEventListener("pointerup", (event) => {
      const now = at(event), begun = from;
      from = null;
      area?.remove();
      area = null;
      if (!begun) return;
      if (Math.hypot(now[0] - begun[0], now[1] - begun[1]) < 5) {
        open(nearest(now));
        return;
      }
      [x, y].forEach((axis, side) => {
        const span = [begun[side], now[side]].map(back(axis)).sort((a, b) => a - b);
        chosen.filters.set(columns[shown[side]].name, { low: span[0], high: span[1] });
      });
      table.closest("details").open = true;
      refill();
    });
    svg.addEventListener("click", (event) => {
      const index = linked(event.target) ?? (event.pointerType === "mouse" && !ends ? null : nearest(at(event)));
      if (index != null) { event.preventDefault(); open(index); }
    });
  }

  // One trial, or two side by side.
  const panel = make("section", { id: "compared", className: "compared", hidden: true, tabIndex: -1 });
  panel.setAttribute("aria-label", "Trials side by side");
  document.querySelector("figure").after(panel);
  const open = (index) => {
    if (index == null) return;
    const number = trials[index];
    if (!chosen.pinned.includes(number)) chosen.pinned = [...chosen.pinned.slice(-1), number];
    show();
    panel.focus({ preventScroll: true });
    panel.scrollIntoView({ block: "nearest" });
  };
  const difference = (column, [first, second]) => {
    const { values, labels, scale } = columns[column], [one, other] = [values[first], values[second]];
    if (one === other) return "";
    if (one == null || other == null || labels) return "≠";
    if (scale) return `${other > one ? "+" : "−"}${(scale * Math.abs(other - one)).toFixed(1)} points`;
    const share = 100 * (other / one - 1);
    return `${share > 0 ? "+" : "−"}${Math.abs(share).toPrecision(2)} %`;
  };
  const show = () => {
    chosen.pinned = chosen.pinned.filter((number) => place.has(number));
    const pinned = chosen.pinned.map((number) => place.get(number));
    panel.hidden = !pinned.length;
    mark(kept());
    if (panel.hidden) return panel.replaceChildren();
    const names = chosen.pinned.map((number) => `trial ${number}`);
    const heads = names.map((name, at) => make("th", { scope: "col" }, `${name} `, button("×", () => {
      chosen.pinned.splice(at, 1);
      show();
    }, { ariaLabel: `remove ${name}` })));
    const rows = [...columns.keys()].filter((c) => c && pinned.some((i) => columns[c].values[i] != null));
    const body = rows.map((column) => {
      const apart = pinned.length > 1 ? difference(column, pinned) : "";
      return make("tr", { className: apart && "differs" },
        make("th", { scope: "row" }, columns[column].name),
        ...pinned.map((index) => make("td", {}, told(column, index))),
        ...(pinned.length > 1 ? [make("td", {}, apart)] : []));
    });
    const more = pinned.length > 1 ? [make("th", { scope: "col" }, "difference")] : [];
    panel.replaceChildren(
      make("h3", {}, names.join(" and ")),
      make("p", { className: "note" }, pinned.length > 1
        ? "The difference is that of the second from the first."
        : "Choose another trial in the plot or in the table to see both side by side."),
      make("div", { className: "scroll", tabIndex: 0 }, make("table", {},
        make("caption", { className: "unseen" }, names.join(" and ")),
        make("thead", {}, make("tr", {}, make("td"), ...heads, ...more)), make("tbody", {}, ...body))),
      ...chosen.pinned.map((number) => make("div", { className: "code" },
        make("pre", { tabIndex: 0 }, data.command.join(number)))),
    );
    copyable(panel);
  };

  // The table of trials, with a filter beneath each heading.
  const status = make("output"), body = make("tbody"), head = make("thead");
  const kept = () => indices.filter(isKept);
  const filter = (column) => {
    const { labels, name, scale = 1 } = columns[column], set = chosen.filters.get(name);
    const changed = (value) => {
      if (value) chosen.filters.set(name, value);
      else chosen.filters.delete(name);
      fill();
    };
    if (labels) {
      const select = make("select", { ariaLabel: `${name}, only` }, make("option", { value: "" }, "all"),
        ...labels.map((label) => make("option", { value: label, selected: set?.label === label }, label)));
      select.addEventListener("change", () => changed(select.value && { label: select.value }));
      return [select];
    }
    const shown = (end) => (Number.isFinite(end) ? String(Number((scale * end).toPrecision(4))) : "");
    const inputs = ["from", "to"].map((side) => make("input", {
      type: "number", step: "any", placeholder: side, ariaLabel: `${name}, ${side}`,
      value: shown(side === "from" ? set?.low : set?.high),
    }));
    const [low, high] = inputs;
    for (const input of inputs) {
      input.addEventListener("change", () => changed((low.value || high.value) && {
        low: low.value ? low.value / scale : -Infinity, high: high.value ? high.value / scale : Infinity,
      }));
    }
    return inputs;
  };
  const shownColumns = () => [...columns.keys()].filter((c) => chosen.columns.has(columns[c].name));
  const fill = () => {
    const [sorted, way] = chosen.sort, found = kept(), column = named.get(sorted);
    const ordered = found.sort((one, other) => compared(key(column, one), key(column, other), way));
    body.replaceChildren(...ordered.slice(0, ROWS).map((index) => make("tr", {},
      ...shownColumns().map((c) => make("td", { className: columns[c].labels ? "" : "number" },
        c ? told(c, index) : button(String(trials[index]), () => open(index), {
          ariaLabel: `open trial ${trials[index]}`,
        }))))));
    const first = found.length > ROWS ? `, of which ${ROWS} are listed` : "";
    status.textContent = `${found.length} of ${trials.length} trials${first} `;
    if (chosen.filters.size) status.append(button("Clear the filters", () => {
      chosen.filters.clear();
      refill();
    }));
    mark(found);
  };
  const refill = () => {
    const [sorted, way] = chosen.sort;
    const headings = shownColumns().map((column) => {
      const heading = make("th", { scope: "col", className: columns[column].labels ? "" : "number" },
        button(title(columns[column]), () => {
          chosen.sort = [columns[column].name, columns[column].name === sorted ? -way : 1];
          refill();
        }, { className: "heading" }));
      if (columns[column].name === sorted) heading.ariaSort = way === 1 ? "ascending" : "descending";
      return heading;
    });
    head.replaceChildren(make("tr", {}, ...headings),
      make("tr", { className: "filters" }, ...shownColumns().map((c) => make("td", {}, ...filter(c)))));
    fill();
  };
  const boxes = columns.map((column, at) => {
    const box = make("input", { type: "checkbox", checked: chosen.columns.has(columns[at].name) });
    box.addEventListener("change", () => {
      chosen.columns[box.checked ? "add" : "delete"](columns[at].name);
      refill();
    });
    return make("label", {}, box, ` ${title(column)}`);
  });
  const choice = make("details", { id: "columns" }, make("summary", {}, "Columns"),
    make("div", { className: "inner boxes" }, ...boxes));
  table.replaceChildren(table.caption, head, body);
  table.closest(".scroll").before(make("p", { className: "note" },
    "Drag a rectangle in a plot, or fill in a filter, to keep some trials only. "), choice,
    make("p", {}, status));
  refill();
  show();
}
