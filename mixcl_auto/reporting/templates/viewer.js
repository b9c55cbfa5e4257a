// Scrolls through the held-out cases: the same plane of every map, cut out of mosaics of axial slices.
"use strict";
(() => {
  const root = document.getElementById("viewer");
  const data = document.getElementById("viewer-data");
  if (!root || !data) return;
  const cases = JSON.parse(data.textContent);
  const find = (name) => root.querySelector(`[data-part="${name}"]`);
  const panels = find("panels"), legend = find("legend"), note = find("where");
  const slice = find("slice"), plane = find("plane"), zoom = find("zoom"), opacity = find("opacity");
  const chosen = find("case"), errors = find("errors");
  const state = { volume: null, at: [0, 0, 0], hidden: new Set() };

  // Of a plane: the axis that it is normal to, those along its columns and rows, and whether rows run backwards.
  const PLANES = {
    axial: { normal: 2, across: 0, down: 1, flip: false },
    coronal: { normal: 1, across: 0, down: 2, flip: true },
    sagittal: { normal: 0, across: 1, down: 2, flip: true },
  };
  const SIDES = { axial: ["R", "L"], coronal: ["R", "L"], sagittal: ["A", "P"] };

  async function unpack(uri, volume) {
    const image = new Image();
    image.src = uri;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
    const [nx, ny, nz] = volume.size, [width, height] = volume.tile, across = volume.tiles_across;
    const grey = new Uint8Array(nx * ny * nz);
    let place = 0;
    for (let z = 0; z < nz; z++) {
      const left = (z % across) * width, top = Math.floor(z / across) * height;
      for (let y = 0; y < ny; y++) {
        let from = ((top + y) * canvas.width + left) * 4;
        for (let x = 0; x < nx; x++, from += 4) grey[place++] = pixels[from];
      }
    }
    return grey;
  }

  async function load(volume) {
    if (!volume.grey) {
      const all = [volume.scan, ...volume.maps.map((map) => map.uri)];
      const [grey, ...labels] = await Promise.all(all.map((uri) => unpack(uri, volume)));
      Object.assign(volume, { grey, labels });
    }
    return volume;
  }

  function colourOf(volume, label, reference) {
    const isHidden = (value) => value === 0 || state.hidden.has(value);
    if (errors.checked && reference !== null) {
      if (label === reference || (isHidden(label) && isHidden(reference))) return null;
      return label === 0 ? [0, 114, 178] : [213, 94, 0]; // missed, or wrongly there
    }
    const organ = volume.organs.find((one) => one.label === label);
    if (!organ || state.hidden.has(label)) return null;
    const value = parseInt(organ.colour.slice(1), 16);
    return [value >> 16, (value >> 8) & 255, value & 255];
  }

  // The plane's pixels: grey values blended with the colours of the labels.
  function picture(volume, number) {
    const { normal, across, down, flip } = PLANES[plane.value];
    const [nx, ny] = volume.size, strides = [1, nx, nx * ny];
    const width = volume.size[across], height = volume.size[down];
    const image = new ImageData(width, height), labels = volume.labels[number];
    const isReference = volume.maps[number].name === "reference";
    const reference = !isReference && volume.maps[0].name === "reference" ? volume.labels[0] : null;
    const strength = Number(opacity.value) / 100;
    for (let row = 0, to = 0; row < height; row++) {
      const line = (flip ? height - 1 - row : row) * strides[down] + state.at[normal] * strides[normal];
      for (let column = 0; column < width; column++, to += 4) {
        const from = line + column * strides[across], grey = volume.grey[from];
        const colour = colourOf(volume, labels[from], reference ? reference[from] : null);
        for (let k = 0; k < 3; k++) {
          image.data[to + k] = colour ? grey + (colour[k] - grey) * strength : grey;
        }
        image.data[to + 3] = 255;
      }
    }
    return image;
  }

  function draw() {
    const volume = state.volume;
    if (!volume) return;
    const { normal, across, down, flip } = PLANES[plane.value];
    const width = volume.size[across], height = volume.size[down], factor = Number(zoom.value);
    const centre = [state.at[across] + 0.5, (flip ? height - 1 - state.at[down] : state.at[down]) + 0.5];
    const spans = [width / factor, height / factor];
    const starts = [0, 1].map((k) => Math.min(Math.max(0, centre[k] - spans[k] / 2), [width, height][k] - spans[k]));
    panels.querySelectorAll("canvas").forEach((canvas, number) => {
      const small = document.createElement("canvas");
      [small.width, small.height] = [width, height];
      small.getContext("2d").putImageData(picture(volume, number), 0, 0);
      const shape = (height * volume.spacing_mm[down]) / (width * volume.spacing_mm[across]);
      canvas.width = 480;
      canvas.height = Math.max(1, Math.round(480 * shape));
      const context = canvas.getContext("2d");
      context.imageSmoothingEnabled = factor < 3;
      context.drawImage(small, ...starts, ...spans, 0, 0, canvas.width, canvas.height);
      context.font = "600 18px system-ui, sans-serif";
      [context.fillStyle, context.strokeStyle, context.lineWidth] = ["#fff", "#000", 4];
      SIDES[plane.value].forEach((letter, edge) => {
        const place = [edge ? canvas.width - 22 : 8, canvas.height / 2];
        context.strokeText(letter, ...place);
        context.fillText(letter, ...place);
      });
      canvas.dataset.sides = SIDES[plane.value].join("");
      canvas.dataset.view = JSON.stringify({ starts, spans });
    });
    slice.max = volume.size[normal] - 1;
    slice.value = state.at[normal];
    note.textContent = `${plane.value}, slice ${state.at[normal] + 1} of ${volume.size[normal]}`;
  }

  // A click moves the slices of the other planes, and the middle of the zoom, to that point.
  function point(event) {
    const volume = state.volume, canvas = event.currentTarget, { across, down, flip } = PLANES[plane.value];
    const box = canvas.getBoundingClientRect(), { starts, spans } = JSON.parse(canvas.dataset.view);
    const column = Math.floor(starts[0] + ((event.clientX - box.left) / box.width) * spans[0]);
    const row = Math.floor(starts[1] + ((event.clientY - box.top) / box.height) * spans[1]);
    const inside = (value, axis) => Math.min(Math.max(0, value), volume.size[axis] - 1);
    state.at[across] = inside(column, across);
    state.at[down] = inside(flip ? volume.size[down] - 1 - row : row, down);
    canvas.focus();
    draw();
  }

  function step(by) {
    const { normal } = PLANES[plane.value];
    state.at[normal] = Math.min(Math.max(0, state.at[normal] + by), state.volume.size[normal] - 1);
    draw();
  }

  function addPanel(map) {
    const figure = document.createElement("figure"), title = document.createElement("figcaption");
    const canvas = document.createElement("canvas");
    title.textContent = map.name;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${map.name}; arrow keys scroll through the slices`);
    canvas.addEventListener("click", point);
    canvas.addEventListener("keydown", (event) => {
      const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10 };
      const by = { ...steps, Home: -Infinity, End: Infinity }[event.key];
      if (by) { event.preventDefault(); step(by); }
    });
    canvas.addEventListener("wheel", (event) => {
      if (document.activeElement !== canvas) return; // the page scrolls until a picture was clicked
      event.preventDefault();
      step(event.deltaY < 0 ? 1 : -1);
    }, { passive: false });
    figure.append(title, canvas);
    panels.append(figure);
  }

  function addOrgan(organ) {
    const label = document.createElement("label"), box = document.createElement("input");
    const swatch = document.createElement("i");
    box.type = "checkbox";
    box.checked = true;
    swatch.style.background = organ.colour;
    box.addEventListener("change", () => {
      if (box.checked) state.hidden.delete(organ.label); else state.hidden.add(organ.label);
      draw();
    });
    label.append(box, swatch, organ.name);
    legend.append(label);
  }

  async function show(number) {
    const volume = await load(cases[number]);
    if (Number(chosen.value) !== number) return; // another case was chosen meanwhile
    state.volume = volume;
    state.at = [...volume.start];
    state.hidden.clear();
    panels.replaceChildren();
    legend.replaceChildren();
    volume.maps.forEach(addPanel);
    volume.organs.forEach(addOrgan);
    errors.disabled = volume.maps[0].name !== "reference";
    draw();
    root.dataset.ready = String(number);
  }

  cases.forEach((one, number) => chosen.add(new Option(one.caption, number)));
  chosen.addEventListener("change", () => show(Number(chosen.value)));
  slice.addEventListener("input", () => {
    state.at[PLANES[plane.value].normal] = Number(slice.value);
    draw();
  });
  for (const control of [plane, zoom, opacity, errors]) control.addEventListener("input", draw);
  root.hidden = false;
  show(0);
})();
