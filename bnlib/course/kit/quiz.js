// A question and its lettered options; the one that was pressed last is answered below.

function layout(group, g, { root, ask, write }) {
  const text = make("p", "margin:.9em 0 .2em", `<strong>${g + 1}.</strong> ${group.text}`,
    { id: fresh() });
  const answer = make("div", "margin:.2em 0 0 2.4em;min-height:1.5em", "", { role: "status" });
  const options = make("div", "", "", { role: "group", "aria-labelledby": text.id });
  const buttons = [];
  group.labels.forEach((label, i) => {
    const id = fresh();
    const letter = String.fromCharCode(97 + i);
    const button = make("button", BUTTON + ";min-width:2.4em", `${letter})`,
      { id: `${id}-b`, "aria-pressed": "false", "aria-labelledby": `${id}-b ${id}` });
    button.onclick = () => ask(`${g}.${i}`, (html) => {
      for (const other of buttons) {
        other.setAttribute("aria-pressed", String(other === button));
        other.style.fontWeight = other === button ? "700" : "";
        other.style.borderWidth = other === button ? "2px" : "1px";
      }
      write(answer, `${letter}) ${html}`);
    });
    const words = make("span", "cursor:pointer", label, { id });
    words.onclick = () => button.click();
    const row = make("div", "");
    row.append(button, words);
    buttons.push(button);
    options.append(row);
  });
  root.append(text, options, answer);
}
