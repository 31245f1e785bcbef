// The browser's half of an Explorer: native controls, the picture, the sentence that describes it.

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const own = Math.random().toString(36).slice(2); // every explorer loads this file for itself
let serial = 0;
const fresh = () => `bn-explorer-${own}-${++serial}`;

function control(spec, model, changed) {
  const get = () => model.get("_raw")[spec.name];
  const set = (value) => {
    model.set("_raw", { ...model.get("_raw"), [spec.name]: value });
    model.save_changes();
    changed();
  };
  const id = fresh();

  if (spec.kind === "choice") {
    const radios = spec.texts.map((text, i) => {
      const radio = element("input", { type: "radio", name: id, id: `${id}-${i}` });
      radio.addEventListener("change", () => radio.checked && set(i));
      return radio;
    });
    const node = element("fieldset", {}, element("legend", {}, spec.label));
    spec.texts.forEach((text, i) => node.append(element("label", {}, radios[i], text)));
    return { node, show: () => radios.forEach((radio, i) => (radio.checked = i === get())) };
  }

  if (spec.kind === "switch") {
    const box = element("input", { type: "checkbox", id });
    box.addEventListener("change", () => set(box.checked));
    const node = element("div", { class: "bn-row" }, element("label", {}, box, spec.label));
    return { node, show: () => (box.checked = get()) };
  }

  const { low, high, step } = spec;
  if (high === low) return { node: "", show: () => {} }; // nothing to choose
  const slider = element("input", { type: "range", id, min: low, max: high, step });
  const number = element("output", { for: id });
  const written = (value) =>
    spec.texts ? spec.texts[value] : Number(value).toFixed(spec.digits).replace("-", "−") + spec.unit;
  const say = (value) => {
    number.textContent = written(value);
    slider.setAttribute("aria-valuetext", written(value));
  };
  slider.addEventListener("input", () => {
    say(slider.valueAsNumber);
    set(slider.valueAsNumber);
  });
  const node = element("div", { class: "bn-row" },
    element("label", { for: id }, spec.label), slider, number);
  const show = () => {
    if (slider.matches(":active")) return; // a late echo must not pull the handle from the hand
    slider.value = get();
    say(get());
  };
  return { node, show };
}

function render({ model, el }) {
  const spec = model.get("_spec");
  const title = element("p", { class: "bn-title", id: fresh() }, spec.title);
  const sentence = element("p", { class: "bn-state", role: "status", "aria-live": "polite" });
  const note = element("p", { class: "bn-note", role: "status", hidden: "" },
    "No answer from the kernel: it is busy, or this cell did not run since it started. " +
    "Choose Run → Run All Above Selected Cell, then run this cell.");
  const image = element("img", {
    alt: spec.alt, width: spec.width, height: spec.height, draggable: "false",
  });

  let quiet, answer;
  const changed = () => {
    sentence.setAttribute("aria-busy", "true"); // read out once, when the hand rests
    clearTimeout(quiet);
    quiet = setTimeout(() => sentence.setAttribute("aria-busy", "false"), 400);
    clearTimeout(answer);
    answer = setTimeout(() => (note.hidden = false), 4000);
  };
  const controls = spec.controls.map((one) => control(one, model, changed));

  let url;
  const paint = () => {
    const old = url;
    const picture = model.get("_picture"); // bytes, or the address of a frame
    url = typeof picture === "string" ? picture
      : URL.createObjectURL(new Blob([picture], { type: "image/png" }));
    image.onload = () => old && URL.revokeObjectURL(old);
    image.src = url;
    clearTimeout(answer);
    note.hidden = true;
  };
  const say = () => {
    sentence.textContent = model.get("_text");
  };
  const move = () => controls.forEach((one) => one.show());

  const panel = element("div", { class: "bn-controls" }, ...controls.map((one) => one.node));
  const root = element("div",
    // JupyterLab must leave the keys to the controls: "b" would add a cell, arrows would leave it.
    { class: "bn-explorer", role: "group", "aria-labelledby": title.id,
      "data-lm-suppress-shortcuts": "true" },
    title, panel, image, sentence, note);
  root.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey && event.key !== "Escape" && !event.shiftKey)
      event.stopPropagation();
  });
  el.append(root);

  paint(); say(); move();
  const ratio = Math.min(Math.max(Math.ceil(window.devicePixelRatio * 4) / 4, 1), 2);
  if (model.get("_ratio") !== null && model.get("_ratio") !== ratio) {
    model.set("_ratio", ratio);
    model.save_changes();
  }
  model.on("change:_picture", paint);
  model.on("change:_text", say);
  model.on("change:_raw", move);
  return () => {
    clearTimeout(quiet);
    clearTimeout(answer);
    model.off("change:_picture", paint);
    model.off("change:_text", say);
    model.off("change:_raw", move);
    URL.revokeObjectURL(url);
  };
}

// Without a kernel: the frames that were drawn for the page (kit/frames.py) answer in its place.

class Frames {
  constructor({ spec, raw, sentences, pictures }) {
    this.values = { _spec: spec, _raw: raw, _ratio: null };
    Object.assign(this, { sentences, pictures, listeners: {} });
    this.turn();
  }

  // The last control's values run fastest.
  number(raw) {
    return this.values._spec.controls.reduce((number, one) => {
      const count = one.kind === "range" ? one.high + 1 : one.kind === "switch" ? 2 : one.texts.length;
      return number * count + Number(raw[one.name]);
    }, 0);
  }

  turn() {
    const number = this.number(this.values._raw);
    this.values._picture = this.pictures[number];
    this.values._text = this.sentences[number];
  }

  // Load what lies one step away, so that the next key press finds it.
  prepare() {
    const { _spec: spec, _raw: raw } = this.values;
    for (const { name, kind } of spec.controls)
      if (kind === "range")
        for (const step of [-1, 1]) {
          const next = this.number({ ...raw, [name]: raw[name] + step });
          if (this.pictures[next]) new Image().src = this.pictures[next];
        }
  }

  get(name) {
    return this.values[name];
  }

  set(name, value) {
    this.values[name] = value;
  }

  save_changes() {
    this.turn();
    for (const name of ["_picture", "_text", "_raw"])
      (this.listeners[`change:${name}`] ?? []).forEach((heard) => heard());
    this.prepare();
  }

  on(event, heard) {
    (this.listeners[event] ??= []).push(heard);
  }

  off() {}
}

// Bring to life every explorer of a page: <div class="bn-frames"> around its JSON and its still picture.
function play(page) {
  for (const place of page.querySelectorAll(".bn-frames")) {
    const data = JSON.parse(place.querySelector("script").textContent);
    place.replaceChildren();
    render({ model: new Frames(data), el: place });
  }
}

export default { render, play };
