// Texts behind buttons; each button comes up once the one before it was opened.

function layout(group, g, { root, ask, write }) {
  const nodes = group.labels.map((label, i) => {
    const id = fresh();
    const panel = make("div", "margin:.3em 0", "", { id });
    const button = make("button", BUTTON, "", { "aria-expanded": "false", "aria-controls": id });
    const set = (open) => {
      button.setAttribute("aria-expanded", String(open));
      button.textContent = `${open ? "▾" : "▸"} ${label}`;
      panel.hidden = !open;
    };
    button.onclick = () => button.getAttribute("aria-expanded") === "true" ? set(false) :
      ask(`${g}.${i}`, (html) => {
        if (!panel.innerHTML) write(panel, html);
        set(true);
        if (nodes[i + 1]) nodes[i + 1].hidden = false;
      });
    set(false);
    const node = make("div", "");
    node.append(button, panel);
    node.hidden = i > 0;
    return node;
  });
  root.append(...nodes);
}
