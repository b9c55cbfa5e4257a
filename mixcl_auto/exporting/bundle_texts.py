"""A bundle's ``docs/README.md`` and ``LICENSE``."""

from mixcl_auto.exporting.config import ExportConfig

RUN_COMMAND = (
    "python -m monai.bundle run --config_file configs/inference.json --meta_file configs/metadata.json "
    "--dataset_dir /path/to/scans --output_dir /path/to/labels"
)
VERIFY_COMMAND = (
    "python -m monai.bundle verify_net_in_out --net_id network_def "
    "--meta_file configs/metadata.json --config_file configs/inference.json"
)


def readme(config: ExportConfig) -> str:
    """The model card: what it segments, what it was trained on, how to run it."""
    given, origin = config.input, config.origin
    organs = "\n".join(f"| {label} | {organ} |" for organ, label in (config.labels or {}).items())
    data = "\n".join(f"| {one.dataset} | {one.use} | {one.cases} |" for one in config.training_data)
    fraction = 100 * (origin.fraction or 0)
    spacing = " x ".join(f"{side:g}" for side in given.spacing_mm)
    patch = " x ".join(map(str, given.patch_size))
    return f"""# Segmentation of {origin.dataset}

A UNETR fine-tuned by mixcl_auto {origin.mixcl_auto} on {fraction:g} % of the training cases of fold
{origin.fold}, seed {origin.seed}, from the initial weights `{origin.name}`. `configs/export.json` has every
detail and the weights' hash.

| label | organ |
|---|---|
{organs}

| data | use | cases |
|---|---|---|
{data}

## Run

From this folder, on NIfTI files:

```
{RUN_COMMAND}
```

From elsewhere give the full path of `--config_file` and `--meta_file`, and this folder as `--bundle_root`.

Each label map gets its scan's name, grid and orientation; `--output_dir` must lie outside `--dataset_dir`. A
scan whose header does not tell its orientation (`qform_code` and `sform_code` 0), or whose sform and qform
disagree, is refused before anything is written: its left might become its right.

`pip install` what `configs/metadata.json` lists under `required_packages_version`; mixcl_auto itself is not
needed. Where neither this folder nor the user's cache folder can be written to, set `NUMBA_CACHE_DIR`.
To check the network against the metadata:

```
{VERIFY_COMMAND}
```

## What happens to a scan

Orientation RAS; cubic spline to {spacing} mm; clipped to [{given.window_hu[0]:g}, {given.window_hu[1]:g}]
({given.channel_name}), rounded to steps of {given.intensity_step:g}, mapped to [0, 1]; windows of {patch}
voxels, overlapping by {given.window_overlap:.0%}, blended by a Gaussian; logits interpolated to the scan's
grid, and the class of the largest taken. The network computes in float32: `mixcl_auto predict` gives the
same labels where it does so too, and in half precision others at some voxels of the organs' borders.

## Limits

The model knows scans like those that it was trained on, and no others. Research software, not a medical
device.
"""


def licence(config: ExportConfig) -> str:
    """Terms of the code, and whose say the weights are."""
    datasets = ", ".join(one.dataset for one in config.training_data)
    return f"""The code under scripts/ is part of mixcl_auto.

Licensed under the Apache License, Version 2.0 (the "License"); you may not use these files except in
compliance with the License. You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software distributed under the License is
distributed on an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See
the License for the specific language governing permissions and limitations under the License.

The weights under models/ were trained on: {datasets}.
mixcl_auto grants no licence to them. Who passes this bundle on states the terms here; the licences of these
datasets may restrict them.
"""
