"""From a plan to the source of pairs."""

from collections.abc import Sequence

from mixcl_auto.augmentation.intensity import ViewSettings
from mixcl_auto.augmentation.spatial import SpatialSettings
from mixcl_auto.errors import RunError
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.pretraining.pairs import PairSettings, PairSource, PoolDataset, dataset_probabilities
from mixcl_auto.records.plan import Plan, PretrainPlan
from mixcl_auto.training.cases import open_cases
from mixcl_auto.training.patches import Index


def open_pool(workspace: Workspace, plan: Plan) -> list[PoolDataset]:
    """Open the cached cases of all datasets to pre-train on.

    Raises:
        RunError: if the pool is empty, or cases are not in the cache.
    """
    pool = [
        PoolDataset(
            dataset.name,
            dataset.class_count,
            tuple(open_cases(workspace, plan, dataset.name, dataset.cases)),
        )
        for dataset in plan.pool
        if dataset.cases
    ]
    if not pool:
        raise RunError(
            "the plan has nothing to pre-train on: no dataset with cases has the role pretrain or both; "
            "plan again with `mixcl_auto plan_and_preprocess --pretrain NAME`, or fine-tune with "
            "`--init scratch`"
        )
    return pool


def planned_pool(plan: Plan) -> list[PoolDataset]:
    """The datasets to pre-train on without their cases: enough to build a network."""
    return [PoolDataset(dataset.name, dataset.class_count, ()) for dataset in plan.pool if dataset.cases]


def pair_source(
    pool: Sequence[PoolDataset], plan: Plan, label_grid: Index, *, with_targets: bool = True
) -> PairSource:
    """The source of pairs that a plan asks for; for one seed its views are the same for every method.

    Args:
        pool: with its cases.
        plan: how pairs are drawn.
        label_grid: see ``PairSettings``.
        with_targets: see ``PairSettings``.
    """
    section = plan.pretrain
    settings = PairSettings(
        patch_size=plan.network.patch_size,
        window_steps=plan.preprocess.window_steps,
        foreground_fraction=section.foreground_fraction,
        foreground_placement=section.foreground_placement,
        same_image_probability=section.same_image_probability,
        match_classes=section.match_classes,
        label_grid=label_grid,
        with_targets=with_targets,
        weight_mu=section.weight_mu,
        weight_epsilon=section.weight_epsilon,
        spatial=spatial_settings(section),
        intensity=view_settings(section),
    )
    counts = [len(dataset.cases) for dataset in pool]
    return PairSource(pool, dataset_probabilities(counts, section.dataset_sampling), settings)


def spatial_settings(section: PretrainPlan) -> SpatialSettings:
    """The warp of a plan."""
    return SpatialSettings(
        elastic_probability=section.elastic_probability,
        affine_probability=section.affine_probability,
        rotation_degrees=section.rotation_degrees,
        scale=section.scale_range,
        elastic_displacement_voxels=section.elastic_displacement_voxels,
    )


def view_settings(section: PretrainPlan) -> ViewSettings:
    """The views' distortions of a plan."""
    return ViewSettings(
        probability=section.intensity_probability,
        shift=section.intensity_shift,
        gamma=section.gamma_range,
        smoothing_sigma_voxels=section.smoothing_sigma_voxels,
        noise_standard_deviation=section.noise_standard_deviation,
    )
