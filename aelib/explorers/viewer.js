// An explorer without a kernel: moved in the browser, where ONNX Runtime decodes, or pictures are shown that Python
// made. `page.py` writes what it reads, and for such pictures notebooks/framing.py.
// <div data-explorer="ADDRESS of that" data-runtime="FOLDER of onnxruntime-web"></div>

let runtime; // one for all explorers of the page, fetched when the first of them is touched
const decoders = new Map(); // of models by their address, or of explorers that bring their own

function decoder(of, folder) {
  const base = new URL(folder, document.baseURI).href;
  runtime ??= import(`${base}ort.wasm.bundle.min.mjs`).then((ort) => {
    Object.assign(ort.env.wasm, { wasmPaths: { wasm: `${base}ort-wasm-simd-threaded.wasm` }, numThreads: 1 });
    return ort;
  });
  const key = of.address ?? of;
  if (!decoders.has(key)) {
    decoders.set(key, (async () => {
      const [ort, model] = await Promise.all([runtime, of.decoder ?? fetched(of.address)]);
      const session = await ort.InferenceSession.create(new Uint8Array(model));
      return async (h) => (await session.run({ input: new ort.Tensor("float32", h, [1, h.length]) })).mean.data;
    })());
  }
  return decoders.get(key);
}

async function fetched(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
  return answer.arrayBuffer();
}

/** What `page.described` wrote: tables as arrays of Float32Arrays, pictures as arrays of ImageData. */
function read(buffer) {
  const start = 8 + Number(new DataView(buffer).getBigUint64(0, true));
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, start - 8)));
  const of = JSON.parse(head.__metadata__.words);
  delete head.__metadata__;
  for (const [name, { dtype, shape: [n, height, width], data_offsets: [from, to] }] of Object.entries(head)) {
    const bytes = buffer.slice(start + from, start + to);
    const numbers = dtype === "F32" ? new Float32Array(bytes) : new Uint8ClampedArray(bytes);
    const each = (i) => numbers.subarray((i * numbers.length) / n, ((i + 1) * numbers.length) / n);
    const one = dtype === "F32" ? each : (i) => picture(each(i), height, width);
    of[name] = dtype === "U8" && !width ? bytes : Array.from({ length: n }, (_, i) => one(i));
  }
  return of;
}

/** Of (height, width, 3) whole numbers from 0 to 255. */
function picture(rgb, height, width) {
  const made = new ImageData(width, height);
  for (let i = 0; i < height * width; i++) made.data.set([rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2], 255], 4 * i);
  return made;
}

// ---- numbers ---------------------------------------------------------------------------------------------

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const norm = (a) => Math.sqrt(dot(a, a));
const combine = (s, a, t, b) => a.map((x, i) => s * x + t * b[i]);

/** As `latent.interpolate`. */
function between(a, b, t, kind) {
  const [ra, rb] = [norm(a), norm(b)];
  const line = combine(1 - t, a, t, b);
  if (kind === "linear" || ra * rb === 0) return line;
  const [ua, ub] = [a.map((x) => x / ra), b.map((x) => x / rb)];
  const angle = 2 * Math.atan2(norm(combine(1, ua, -1, ub)), norm(combine(1, ua, 1, ub)));
  if (Math.sin(angle) <= 1e-6) return line;
  const scale = ((1 - t) * ra + t * rb) / Math.sin(angle);
  return combine(scale * Math.sin((1 - t) * angle), ua, scale * Math.sin(t * angle), ub);
}

// ---- what is shown ---------------------------------------------------------------------------------------

function element(name, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children);
  return made;
}

/** A picture under its title. */
class Panel {
  constructor([, height, width], title) {
    this.title = element("figcaption", { textContent: title });
    this.canvas = element("canvas", { width, height });
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", title);
    this.canvas.style.width = `${width * Math.ceil(256 / width)}px`;
    this.figure = element("figure", {}, this.title, this.canvas);
  }

  /** Pictures one on the other, so many CSS pixels wide, and words above and below. */
  layered(pictures, { title, text, width }) {
    const [{ width: w, height: h }] = pictures;
    Object.assign(this.canvas, { width: w, height: h });
    Object.assign(this.canvas.style, { width: `${width}px`, imageRendering: width > w ? "" : "auto" });
    for (const one of pictures) this.canvas.getContext("2d").drawImage(one, 0, 0);
    this.title.textContent = title;
    if (title) this.canvas.ariaLabel = title;
    this.text ??= this.figure.appendChild(element("div"));
    this.text.textContent = text ?? "";
  }

  show(made) {
    this.canvas.getContext("2d").putImageData(made, 0, 0);
  }

  /** Numbers in [0, 1], a channel after the other. */
  decoded(data) {
    const { width, height } = this.canvas;
    const [size, rgb] = [width * height, new Uint8ClampedArray(3 * width * height)]; // which rounds
    for (let i = 0; i < 3 * size; i++) {
      const channel = data.length === 3 * size ? i % 3 : 0; // or the same grey three times
      rgb[i] = 255 * data[channel * size + Math.floor(i / 3)];
    }
    this.show(picture(rgb, height, width));
  }
}

/** Controls in a row, each with its name, that call `moved` when they are. */
class Controls {
  constructor(moved) {
    this.moved = moved;
    this.row = element("div", { className: "controls" });
    this.row.addEventListener("input", () => this.moved()); // after what the control itself does
  }

  add(name, control, ...more) {
    control.setAttribute("aria-label", name); // without the number that a slider says beside it
    this.row.append(element("label", {}, element("span", { textContent: name }), control, ...more));
    return control;
  }

  /** With words, a slider over 0, 1, …, each of which says another. */
  range(name, min, max, step, value, words) {
    const control = element("input", { type: "range", min, max, step });
    const digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
    const says = element("output");
    const tell = () => {
      says.textContent = words ? words[control.value] : Number(control.value).toFixed(digits);
      if (words) control.ariaValueText = says.textContent;
    };
    Object.defineProperty(control, "number", {
      get: () => Number(control.value),
      set: (x) => { control.value = x; tell(); },
    });
    control.addEventListener("input", tell);
    control.number = value;
    return this.add(name, control, says);
  }

  /** Of one number among some: the control of a frame. */
  frame({ name, kind, says }, value) {
    if (kind === "range") return this.range(name, 0, says.length - 1, 1, value, says);
    if (kind === "button") {
      const control = { number: value, max: says.length - 1 };
      this.button(name, name, () => {
        control.number = (control.number + 1) % says.length;
        control.pressed();
      });
      return control;
    }
    const box = kind === "box";
    const control = box ? this.box(name, !!value) : this.choice(name, says.map((text, i) => [text, i]));
    Object.defineProperty(control, "number", {
      get: () => Number(box ? control.checked : control.value),
      set: (x) => { control[box ? "checked" : "value"] = x; },
    });
    control.number = value;
    return control;
  }

  choice(name, options) {
    return this.add(name, element("select", {}, ...options.map(([text, value]) => new Option(text, value))));
  }

  box(name, checked) {
    return this.add(name, element("input", { type: "checkbox", checked }));
  }

  button(name, says, act) {
    const button = element("button", { type: "button", textContent: name, title: says });
    button.addEventListener("click", () => { act(); this.moved(); });
    this.row.append(button);
  }
}

/** The choice of those that a model draws, and by a box of the others; each is [text, value, whether drawn]. */
function offered(ui, name, options) {
  const choose = ui.choice(name, []);
  const fill = (all) => {
    const now = choose.value;
    choose.replaceChildren(...options.filter((o) => all || o[2]).map((o) => new Option(o[0], o[1])));
    if ([...choose.options].some((o) => o.value === now)) choose.value = now;
  };
  const none = options.every((o) => !o[2]);
  fill(none);
  if (options.some((o) => !o[2])) {
    const others = ui.box("hardly drawn too", none);
    others.addEventListener("input", () => fill(others.checked));
  }
  return choose;
}

// ---- the explorers: each makes its controls, and returns panels and what the decoder is given ---------------

const kinds = {
  attributes(of, ui, panel) {
    const face = ui.range("face", 0, of.codes.length - 1, 1, 0);
    const name = offered(ui, "attribute", of.names.map((text, i) => [text, i, !of.hidden[i]]));
    const strength = ui.range("strength", -3, 3, 0.1, 0);
    ui.button("reset", "strength 0", () => { strength.number = 0; });
    const [original, decoded] = [panel("original"), panel("decoded")];
    return { decoded, input() {
      original.show(of.photos[face.number]);
      return combine(1, of.codes[face.number], strength.number, of.directions[name.value]);
    } };
  },

  latent_space(of, ui, panel) {
    const mean = of.start[0];
    let [start, next] = [mean, 0];
    const move = (z) => { // the principal sliders show where z is; what they cannot show stays in the start
      start = z;
      sliders.forEach((slider, i) => {
        const axis = of.axes[i];
        const at = i < of.principal ? dot(combine(1, z, -1, mean), axis) / dot(axis, axis) || 0 : 0;
        slider.number = Math.min(3, Math.max(-3, Math.round(10 * at) / 10));
        start = combine(1, start, -slider.number, axis);
      });
    };
    ui.button("random", "a code", () => move(of.random[next++ % of.random.length]));
    ui.button("reset", "the mean code, all sliders 0", () => move(mean));
    const sliders = of.names.map((name) => ui.range(name, -3, 3, 0.1, 0));
    const [decoded, near] = [panel("decoded"), panel("nearest photo")];
    return { decoded, input() {
      const z = sliders.reduce((sum, s, i) => combine(1, sum, s.number, of.axes[i]), start);
      const far = of.codes.map((code) => norm(combine(1, code, -1, z)));
      const i = far.indexOf(Math.min(...far));
      near.show(of.photos[i]);
      near.title.textContent = `nearest photo: ${i}`;
      return z;
    } };
  },

  interpolation(of, ui, panel) {
    const last = of.codes.length - 1;
    const [a, b] = [ui.range("A", 0, last, 1, 0), ui.range("B", 0, last, 1, 1)];
    const way = ui.choice("way", [["linear", "linear"], ["spherical", "spherical"]]);
    const t = ui.range("t", 0, 1, 0.02, 0.5);
    const [left, decoded, right] = [panel("A"), panel("decoded"), panel("B")];
    return { decoded, input() {
      left.show(of.photos[a.number]);
      right.show(of.photos[b.number]);
      return between(of.codes[a.number], of.codes[b.number], t.number, way.value);
    } };
  },

  conditional(of, ui, panel) {
    const face = ui.range("photo", 0, of.codes.length - 1, 1, 0);
    let c;
    const own = () => {
      c = of.conditions[face.number].slice();
      boxes.forEach((box, k) => { box.checked = c[k] === 1; });
      if (kind) kind.value = c.indexOf(1);
    };
    const kind = of.classes && ui.choice("class", of.names.map((name, k) => [name, k]));
    const strength = of.classes ? { number: 1 } : ui.range("strength", 0, 6, 0.25, 1);
    ui.button("reset", "the photo's own condition", own);
    const others = !of.classes && of.hidden.includes(true) && ui.box("hardly drawn too", !of.hidden.includes(false));
    const boxes = of.classes ? [] : of.names.map((name) => ui.box(name, false));
    const offer = () => boxes.forEach((box, k) => { box.parentElement.hidden = of.hidden[k] && !others.checked; });
    const [photo, decoded] = [panel("photo"), panel("decoded")];
    face.addEventListener("input", own);
    kind?.addEventListener?.("input", () => { c.fill(0)[kind.value] = 1; });
    boxes.forEach((box, k) => box.addEventListener("input", () => { c[k] = box.checked ? 1 : of.absent; }));
    others?.addEventListener?.("input", offer);
    offer();
    own();
    return { decoded, input() {
      photo.show(of.photos[face.number]);
      const mine = of.conditions[face.number];
      return Float32Array.of(...of.codes[face.number], ...c.map((x, k) => (x === mine[k] ? x : x * strength.number)));
    } };
  },

  manifold(of, ui, panel) {
    const sliders = of.ranges.map(([min, max, step, value], k) => ui.range(["z₁", "z₂"][k], min, max, step, value));
    ui.button("reset", "the mean code", () => sliders.forEach((s, k) => { s.number = of.ranges[k][3]; }));
    const { width, height } = of.map[0];
    const [map, decoded] = [panel("codes", [3, height, width]), panel("decoded")];
    map.canvas.style.width = `${width}px`;
    map.canvas.addEventListener("pointermove", (e) => {
      const at = map.canvas.getBoundingClientRect();
      const pixel = [((e.clientX - at.left) * width) / at.width, ((e.clientY - at.top) * height) / at.height];
      sliders.forEach((s, k) => { s.number = (pixel[k] - of.place[k][1]) / of.place[k][0]; });
      ui.moved();
    });
    return { decoded, input() {
      const z = sliders.map((s) => s.number);
      map.show(of.map[0]);
      const pen = map.canvas.getContext("2d");
      for (const [colour, width] of [["white", 7], ["black", 3]]) {
        pen.beginPath();
        pen.arc(...z.map((x, k) => of.place[k][0] * x + of.place[k][1]), 9, 0, 7);
        Object.assign(pen, { strokeStyle: colour, lineWidth: width }).stroke();
      }
      return Float32Array.from(z);
    } };
  },
};

/** Of what needs Python: the pictures that its panels showed there, at some positions of its controls. */
kinds.frames = (of, ui, panel, pictures) => {
  const at = of.start; // a control's number of its value, for each
  const frame = (key) => of.frames[key.join()];
  const controls = of.controls.map((about, k) => {
    const control = ui.frame(about, at[k]);
    control.pressed = () => {
      at[k] = control.number;
      at.forEach((_, j) => { while (j !== k && at[j] > 0 && !frame(at)) at[j]--; }); // some end before others
      tell();
    };
    control.addEventListener?.("input", control.pressed);
    return control;
  });
  const tell = () => controls.forEach((control, k) => {
    const last = of.controls[k].says.findLastIndex((_, i) => frame(at.with(k, i)));
    if (of.controls[k].kind === "range") control.max = last;
    control.number = at[k];
  });
  for (const { name, says, to } of of.buttons) {
    ui.button(name, says, () => { at.splice(0, at.length, ...(to[at.join()] ?? at)); tell(); });
  }
  tell();

  const panels = frame(at).map((_, k) => panel(of.untitled || `picture ${k + 1}`, [3, 1, 1]));
  const figures = panels.map((p) => p.figure);
  pictures.className = "framed";
  for (const n of of.rows) {
    pictures.append(element("div", { className: n > 3 ? "pictures many" : "pictures" }, ...figures.splice(0, n)));
  }
  const files = new Map(); // those that were decoded
  const opened = (i) => {
    const file = of.pictures.slice(...of.places[i].slice(0, 2));
    if (!files.has(i)) files.set(i, createImageBitmap(new Blob([file], { type: "image/webp" })));
    return files.get(i);
  };
  return { show: () => Promise.all(frame(at).map(async (one, k) => {
    panels[k].figure.hidden = !one;
    if (!one) return;
    const below = of.places[one.picture][2];
    const layers = await Promise.all((below < 0 ? [one.picture] : [below, one.picture]).map(opened));
    panels[k].layered(layers, one);
  })) };
};

/** Fill the element: the start as it was written; the model comes with the first touch. */
async function explore(at) {
  const of = read(await fetched(at.dataset.explorer));
  if (of.address) of.address = new URL(of.address, new URL(at.dataset.explorer, document.baseURI)).href;
  const message = element("p");
  message.setAttribute("role", "status");
  const pictures = element("div", { className: "pictures" });
  let [busy, again] = [false, false];
  const draw = async () => { // of many moves the last is drawn
    again = true;
    if (busy) return;
    busy = true;
    at.ariaBusy = "true";
    try {
      while (again) {
        again = false;
        await show();
        message.textContent = "";
      }
    } catch (e) {
      message.textContent = `This explorer cannot move: ${e.message}`;
    }
    busy = false;
    at.ariaBusy = "false";
    at.dataset.drawn = Number(at.dataset.drawn) + 1;
  };
  const ui = new Controls(draw);
  const panel = (title, shape = of.shape) => {
    const made = new Panel(shape, title);
    pictures.append(made.figure);
    return made;
  };
  const { decoded, input, show = async () => {
    const h = input();
    if (!decoders.has(of.address ?? of)) message.textContent = "fetching the model …";
    decoded.decoded(await (await decoder(of, at.dataset.runtime))(h));
  } } = kinds[of.kind](of, ui, panel, pictures);
  if (decoded) {
    input();
    decoded.show(of.first[0]);
    at.addEventListener("focusin", draw, { once: true });
  } else await show();
  at.replaceChildren(ui.row, pictures, message);
  at.dataset.drawn = 0;
}

for (const at of document.querySelectorAll("[data-explorer]")) explore(at);
