// Buttons whose texts stay in the kernel until one is pressed. layout(group, g, tools), which draws
// one group of them, stands in folded.js (hints, solutions) and in quiz.js.

const own = Math.random().toString(36).slice(2); // every widget loads this file for itself
let serial = 0;
const fresh = () => `bn-asked-${own}-${++serial}`;
const PATIENCE = 2500; // milliseconds until we say that no kernel answers
const SILENCE = "No answer from the kernel: it is busy, or this cell did not run since it started. " +
  "Choose Run → Run All Above Selected Cell, then run this cell.";
const CARD = "max-width:52em;margin:.3em 0;padding:.45em .9em;border:1px solid #767676;" +
  "border-left:.35em solid #767676;border-radius:3px;line-height:1.5;overflow-x:auto;" +
  "background:var(--jp-layout-color0,#fff);color:var(--jp-content-font-color1,#1a1a1a)";
const BUTTON = "font:inherit;color:inherit;background:transparent;border:1px solid #767676;" +
  "border-radius:3px;padding:.1em .7em;margin:.15em .6em .15em 0;cursor:pointer";

function make(tag, style, html = "", attributes = {}) {
  const node = document.createElement(tag);
  node.style.cssText = style;
  node.innerHTML = html;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function render({ model, el }) {
  const { lead, groups } = model.get("_spec");
  const typeset = (node) => model.widget_manager?.rendermime?.latexTypesetter?.typeset(node);
  const root = make("div", CARD, "", { class: "bn-asked", "data-lm-suppress-shortcuts": "true" });
  const waiting = new Map(); // key -> what to do with its text
  let timer;
  const note = make("p", "margin:.3em 0;border-left:.3em solid #d55e00;padding-left:.6em");
  note.setAttribute("role", "status");
  note.hidden = true;

  const ask = (key, show) => {
    const told = model.get("_told")[key];
    if (told !== undefined) return show(told);
    waiting.set(key, show);
    model.set("_asked", [...model.get("_asked").filter((k) => k !== key), key]);
    model.save_changes();
    clearTimeout(timer);
    timer = setTimeout(() => { note.textContent = SILENCE; note.hidden = false; }, PATIENCE);
  };
  const told = () => {
    for (const [key, html] of Object.entries(model.get("_told"))) {
      waiting.get(key)?.(html);
      waiting.delete(key);
    }
    if (waiting.size) return;
    clearTimeout(timer);
    note.hidden = true;
  };
  const write = (node, html) => { node.innerHTML = html; typeset(node); };

  if (lead) root.append(make("p", "margin:.2em 0", lead));
  groups.forEach((group, g) => layout(group, g, { root, ask, write }));
  root.append(note);
  el.append(root);
  requestAnimationFrame(() => typeset(root));
  model.on("change:_told", told);
  return () => { clearTimeout(timer); model.off("change:_told", told); };
}

export default { render };
